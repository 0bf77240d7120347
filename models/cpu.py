"""What this machine's CPU is good at, as far as a choice of runtime depends on it."""

import platform
from functools import cache
from pathlib import Path

# Without these, int8 kernels are slow, and on x86 they saturate: other vectors than where the runtime was chosen.
_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
# What x86-64-v3 has over its first version, as far as compilers make use of it.
_WIDE_FLAGS = {"avx2", "bmi1", "bmi2", "f16c", "fma"}
_CPUINFO = Path("/proc/cpuinfo")


@cache
def flags() -> frozenset[str] | None:
    """Returns the instructions that the CPU has, by Linux' names; None where the system doesn't tell."""
    return frozenset(_CPUINFO.read_text(encoding="utf-8").split()) if _CPUINFO.exists() else None


@cache
def has_bfloat16() -> bool:
    """Says whether OpenVINO computes in bfloat16 here rather than imitating it."""
    return "BF16" in _openvino_capabilities()


@cache
def has_int8() -> bool:
    """Says whether there are int8 dot products; where the system doesn't tell, whether OpenVINO knows int8 at all."""
    known = flags()
    return "INT8" in _openvino_capabilities() if known is None else not known.isdisjoint(_INT8_FLAGS)


@cache
def has_wide_vectors() -> bool:
    """Says whether our own compiled library runs here: x86-64-v3, which every x86 of the last ten years is, or ARM."""
    known = flags()
    return known is None or platform.machine().lower() not in ("x86_64", "amd64") or known >= _WIDE_FLAGS


def _openvino_capabilities() -> list[str]:
    from models.openvino_runtime import CORE  # heavy, and a service whose encoder is compiled never asks

    return list(CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
