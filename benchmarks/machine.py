"""What figures depend on beside the code: the machine, how busy it is, the commit, the date."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import ROOT

_CPUINFO = Path("/proc/cpuinfo")
_FAST = {
    "avx512": ("avx512f",),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "amx_bf16"),
    "amx": ("amx_tile",),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when something was measured.

    Attributes:
        cpu: Model, with family and model number: a cloud's model names say little.
        cores: How many this process may use.
        flags: Of avx512, vnni, bf16, amx those that the CPU has.
        load: Processes that wanted a core in the last minute, at the start.
        commit: Short hash, "+changes" behind it where files differ from it.
        date: UTC, ISO 8601.
    """

    cpu: str
    cores: int
    flags: tuple[str, ...]
    load: float
    commit: str
    date: str

    @property
    def busy(self) -> bool:
        """Whether others used a noticeable part of the cores."""
        return self.load > 0.25 * self.cores

    def __str__(self) -> str:
        """Describes the hardware in one line."""
        return f"{self.cpu}, {self.cores} cores, {' '.join(self.flags) or 'none of ' + ' '.join(_FAST)}"


def this_machine() -> Machine:
    """Describes this machine now."""
    facts = _cpu_facts()
    numbers = f" (family {facts['cpu family']} model {facts['model']})" if "cpu family" in facts else ""
    present = set(facts.get("flags", "").split())
    return Machine(
        cpu=facts.get("model name", platform.processor() or platform.machine()) + numbers,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        flags=tuple(name for name, any_of in _FAST.items() if present.intersection(any_of)),
        load=os.getloadavg()[0],
        commit=_commit(),
        date=datetime.now(UTC).isoformat(timespec="minutes"),
    )


def resident_mib(pid: int) -> float:
    """Returns the resident memory of a process and those that it started, in MiB; pages that they share count twice."""
    parents, kilobytes = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            facts = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except (OSError, ValueError):  # it has just ended
            continue
        parents[int(facts["Pid"])] = int(facts["PPid"])
        kilobytes[int(facts["Pid"])] = int(facts.get("VmRSS", "0 kB").split()[0])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(kilobytes.get(one, 0) for one in family) / 1024


def _cpu_facts() -> dict[str, str]:
    if not _CPUINFO.exists():
        return {}
    first = _CPUINFO.read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":!benchmarks/RESULTS.md")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changes else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
