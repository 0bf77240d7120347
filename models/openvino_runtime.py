"""OpenVINO without its telemetry, and with one core for good; everybody takes `ov` and `CORE` from here.

Importing openvino reports to its maker, unasked, and writes into the home directory. Where its telemetry package
can't be imported, it uses a stub of its own.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes an import fail

import openvino as ov  # noqa: E402  # after what keeps its telemetry out

__all__ = ["CORE", "ov"]

# A core's CPU plugin gives the thread that makes it another stack for signals, and frees that stack in whatever thread
# lets go of the plugin last. Then the next signal, to reload or to stop, ends the process by a segmentation fault.
CORE = ov.Core()
"""The only one of this process; it lives as long. Once it has compiled anything, a forked child hangs: spawn."""
