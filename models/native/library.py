"""The compiled library beside these sources, where there is one for this machine.

`hatch_build.py` compiles it when the project is installed. Without it numpy does the same, slower.
"""

import logging
from pathlib import Path
from typing import Any

import cffi

from models import cpu

_log = logging.getLogger(__name__)
FILE = Path(__file__).with_name("native.so")
FFI = cffi.FFI()
_HEADER = FILE.with_name("native.h").read_text(encoding="utf-8")
FFI.cdef("\n".join(line for line in _HEADER.splitlines() if not line.startswith("#")))


def _open() -> Any:  # noqa: ANN401  # cffi's libraries have no type
    if not FILE.exists():
        _log.warning("%s isn't there, so requests take longer; install the project again to compile it", FILE)
    elif not cpu.has_wide_vectors():
        _log.warning("this CPU is too old for %s, so requests take longer", FILE.name)
    else:
        return FFI.dlopen(str(FILE))
    return None


LIBRARY = _open()
