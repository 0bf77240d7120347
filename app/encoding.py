"""Where texts are encoded: by the compiled library's threads, or in Python's threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from app.native_jobs import NativeJobs
from app.text_vectors import Begin, Encoded
from models.encoder import Encoder
from models.native.encoder import NativeEncoder

# Tokens are looked up on the event loop; of longer texts that would hold it up for milliseconds.
_SHORT = 2_000  # characters


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

    def begin(text: str) -> asyncio.Future[Encoded]:
        return jobs.send(encoder.encoding(text)) if len(text) <= _SHORT else long_way(text)

    return begin
