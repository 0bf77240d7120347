"""The compiled library beside these sources, where there is one for this machine.

`hatch_build.py` compiles it when the project is installed. Without it numpy does the same, slower, and
OpenVINO encodes.
"""

from pathlib import Path
from typing import Any

import cffi

from models import cpu
from models.native.digest import digest

FILE = Path(__file__).with_name("native.so")
FFI = cffi.FFI()
_HEADER = FILE.with_name("native.h").read_text(encoding="utf-8")
FFI.cdef("\n".join(line for line in _HEADER.splitlines() if not line.startswith("#")))


def open_library(file: Path) -> tuple[Any, str | None]:
    """Returns the library, or None and why it isn't used."""
    if not file.exists():
        return None, f"{file} isn't there; install the project again to compile it"
    if not cpu.has_wide_vectors():
        return None, f"this CPU is too old for {file.name}"
    library = FFI.dlopen(str(file))
    try:
        of = FFI.string(library.recall_sources()).decode()
    except AttributeError:  # older than that question
        of = "unknown"
    if of != (own := digest(file.parent)):
        return None, f"{file} was compiled from other sources ({of}, here {own}); install the project again"
    return library, None


LIBRARY, PROBLEM = open_library(FILE)
"""The library; or None, and why."""
