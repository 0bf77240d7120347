"""Where texts are encoded: by the compiled library's threads, or in Python's threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from app.native_jobs import NativeJobs
from app.text_vectors import Begin, Encoded
from models.encoder import Encoder
from models.native.encoder import NativeEncoder

# Tokens are looked up on the event loop: of so much at most between two looks at who else wants something.
_SHORT = 1_000  # bytes of a text
_A_TURN = 8_000  # bytes of all texts, which take some 5 ms where most words are new


def in_threads(encode: Callable[[str], Encoded], executor: Executor) -> Begin:
    """Returns what begins to encode in Python's threads.

    Args:
        encode: Called from them.
        executor: Its threads bound how many texts are encoded at once.
    """

    def begin(text: str) -> asyncio.Future[Encoded]:
        return asyncio.get_running_loop().run_in_executor(executor, encode, text)

    return begin


def beginning(encoder: Encoder, executor: Executor, jobs: NativeJobs | None) -> Begin:
    """Returns what begins to encode, in whatever way takes least.

    Args:
        encoder: Encodes.
        executor: Python's threads.
        jobs: The library's threads; None where there is no library.
    """
    long_way = in_threads(encoder.encode_user, executor)
    if jobs is None or not isinstance(encoder, NativeEncoder):
        return long_way

    read = 0

    def look_up() -> None:
        nonlocal read
        read = 0

    def begin(text: str) -> asyncio.Future[Encoded]:
        nonlocal read
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > _SHORT or read + size > _A_TURN:
            return long_way(text)
        if read == 0:
            asyncio.get_running_loop().call_soon(look_up)
        read += size
        return jobs.send(encoder.encoding(text))

    return begin
