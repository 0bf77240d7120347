"""Where texts are encoded: by the compiled library's threads, or in Python's threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from app.in_progress import InProgress
from app.native_jobs import NativeJobs
from app.text_vectors import Begin, Encoded
from models.encoder import Encoder
from models.native.encoder import NativeEncoder, Read

# Tokens are looked up on the event loop: of so much at most between two looks at who else wants something.
_SHORT = 1_000  # bytes of a text
_A_TURN = 8_000  # bytes of all texts, which take some 5 ms where most words are new


def in_threads(encode: Callable[[str], Encoded], executor: Executor) -> Begin:
    """Returns what begins to encode in Python's threads.

    Args:
        encode: Called from them.
        executor: Its threads bound how many texts are encoded at once.
    """

    def begin(text: str, _by_itself: bool) -> asyncio.Future[Encoded]:
        return asyncio.get_running_loop().run_in_executor(executor, encode, text)

    return begin


def beginning(encoder: Encoder, executor: Executor, jobs: NativeJobs | None, in_progress: InProgress) -> Begin:
    """Returns what begins to encode, in whatever way takes least.

    Args:
        encoder: Encodes.
        executor: Python's threads.
        jobs: The library's threads; None where there is no library.
        in_progress: Says whether a text's request is the only one: if its text is, too, it may have all cores.
    """
    if jobs is None or not isinstance(encoder, NativeEncoder):
        return in_threads(encoder.encode_user, executor)

    def encode(read: Read, by_itself: bool) -> asyncio.Future[Encoded]:
        encoding = encoder.encoding(read, jobs.n_threads if by_itself and in_progress.is_one else 1)
        return jobs.send(encoding, encoding.parts)

    async def encode_long(text: str, by_itself: bool) -> Encoded:
        read = await asyncio.get_running_loop().run_in_executor(executor, encoder.read, text)
        return await encode(read, by_itself)

    looked_up = 0

    def look_up() -> None:
        nonlocal looked_up
        looked_up = 0

    def begin(text: str, by_itself: bool) -> asyncio.Future[Encoded]:
        nonlocal looked_up
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > _SHORT or looked_up + size > _A_TURN:
            return asyncio.ensure_future(encode_long(text, by_itself))
        if looked_up == 0:
            asyncio.get_running_loop().call_soon(look_up)
        looked_up += size
        return encode(encoder.read(text), by_itself)

    return begin
