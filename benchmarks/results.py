"""benchmarks/RESULTS.md, the record: rows are added, never changed. Knows no particular benchmark."""

from collections.abc import Iterable

from benchmarks import ROOT
from benchmarks.machine import Machine

RESULTS = ROOT / "benchmarks" / "RESULTS.md"


def append(machine: Machine, benchmark: str, rows: Iterable[tuple[str, str]]) -> None:
    """Adds one run to the record.

    Args:
        machine: Where it ran.
        benchmark: Its module's name.
        rows: What was measured, and its figures.
    """
    where = f"{machine}; load {machine.load:.1f}"
    lines = [_line(machine.date, machine.commit, where, benchmark, name, figures) for name, figures in rows]
    with RESULTS.open("r+", encoding="utf-8") as file:  # "r+": without its head the table couldn't be read
        file.seek(0, 2)
        file.writelines(lines)


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |\n"
