"""A request's stage durations, and its deadline."""

import time
from dataclasses import dataclass, field

from models.errors import DeadlineExceededError


@dataclass(slots=True)
class Clock:
    """Stage durations of one request, and its deadline."""

    timeout_ms: float | None
    start: float = field(default_factory=time.perf_counter)
    milliseconds: dict[str, float] = field(default_factory=lambda: {"encode": 0.0, "search": 0.0, "rescore": 0.0})

    def lap(self, stage: str, since: float) -> float:
        """Notes how long a stage took that began then; returns when it ended."""
        now = time.perf_counter()
        self.milliseconds[stage] = 1e3 * (now - since)
        return now

    def remaining(self) -> float | None:
        """Returns the seconds left; None without a deadline."""
        if self.timeout_ms is None:
            return None
        return self.timeout_ms / 1e3 - (time.perf_counter() - self.start)

    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        remaining = self.remaining()
        return remaining is not None and remaining <= 0

    def exceeded(self) -> DeadlineExceededError:
        """Returns what is raised then."""
        return DeadlineExceededError(
            f"timeout_ms is {self.timeout_ms:g} and passed before candidates were found; ask for more time"
        )

    def timings(self) -> dict[str, float]:
        """Returns the stages' milliseconds and those of the whole."""
        timings = {**self.milliseconds, "total": 1e3 * (time.perf_counter() - self.start)}
        return {stage: round(milliseconds, 3) for stage, milliseconds in timings.items()}
