"""What the serving process asks of the C library's and the interpreter's memory."""

import ctypes
import gc
import sys

_M_ARENA_MAX = -8  # malloc.h
_HEAPS = 2


def share_heaps() -> None:
    """Lets threads share two heaps, where the C library would give each its own: 18 MB less on the demo.

    Only heaps that are yet to come are meant, so it is called before there are threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # not every C library has it
        mallopt(_M_ARENA_MAX, _HEAPS)


def settle() -> None:
    """Tells the garbage collector that what is there stays: looking through it stops all threads for 60 ms."""
    gc.collect()
    gc.freeze()
