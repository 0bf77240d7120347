"""OpenVINO without its telemetry; everybody takes `ov` from here.

Importing openvino reports to its maker, unasked, and writes into the home directory. Where its telemetry package
can't be imported, it uses a stub of its own.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes an import fail

import openvino as ov  # noqa: E402  # after what keeps its telemetry out

__all__ = ["ov"]
