"""What this machine's CPU is good at, as far as a choice of runtime depends on it."""

import platform
from functools import cache
from pathlib import Path

from models.openvino_runtime import CORE

# Without these, int8 kernels are slow, and on x86 they saturate: other vectors than where the runtime was chosen.
_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
# What x86-64-v3 has over its first version, as far as compilers make use of it.
_WIDE_FLAGS = {"avx2", "bmi1", "bmi2", "f16c", "fma"}
_CPUINFO = Path("/proc/cpuinfo")


@cache
def has_bfloat16() -> bool:
    """Says whether OpenVINO computes in bfloat16 here rather than imitating it."""
    return "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def has_int8() -> bool:
    """Says whether there are int8 dot products; where the system doesn't tell, whether OpenVINO knows int8 at all."""
    if not _CPUINFO.exists():
        return "INT8" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return not _INT8_FLAGS.isdisjoint(_CPUINFO.read_text(encoding="utf-8").split())


@cache
def has_wide_vectors() -> bool:
    """Says whether our own compiled library runs here: x86-64-v3, which every x86 of the last ten years is, or ARM."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return not _CPUINFO.exists() or _WIDE_FLAGS.issubset(_CPUINFO.read_text(encoding="utf-8").split())
