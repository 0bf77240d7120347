"""Files that must be written, by libraries that each have a way of their own to say that the disk is full."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Runs a block that does nothing but write.

    Args:
        folder: Where to.

    Raises:
        OSError: A file can't be written.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # numpy's, FAISS' and OpenVINO's, safetensors'
        raise OSError(f"{folder} can't be written: {error}; make room on its disk and run it again") from error
