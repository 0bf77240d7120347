"""A disk that is full, said in one way, whichever library was writing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Makes an OSError that says what to do of every way in which libraries say that they can't write.

    Args:
        folder: Where the block writes.

    Raises:
        OSError: The block couldn't write.
    """
    try:
        yield
    except Exception as error:
        # FAISS, OpenVINO and torch raise RuntimeError, tokenizers Exception itself: none of its other subclasses.
        if not isinstance(error, OSError | RuntimeError | SafetensorError) and type(error) is not Exception:
            raise
        raise OSError(f"{folder} can't be written: {error}; make room on its disk and run it again") from error
