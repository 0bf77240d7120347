"""The way back: `history.json`, the artifacts that were live, one after another. A file and its rules, no artifacts.

`current` is the truth: what the file says beyond the live artifact never counts. So the trail grows before `current` is
replaced and shrinks after it, and a writer may die between the two.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

HISTORY = "history.json"
# Switching back and forth must not make the file grow.
_LONGEST = 100


class Activation(BaseModel):
    """An artifact that went live.

    Attributes:
        artifact_id: Which one.
        at: UTC, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    artifact_id: str
    at: str


class History(BaseModel):
    """The trail of activations, oldest first: going forward adds to its end, rolling back takes from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    activations: tuple[Activation, ...] = ()

    def before(self, live: str | None) -> list[str]:
        """Returns the ids that were live before this one, newest first, without itself."""
        ids = [activation.artifact_id for activation in self._up_to(live)]
        return [artifact_id for artifact_id in reversed(ids) if artifact_id != live]

    def forward(self, live: str | None, artifact_id: str) -> "History":
        """Returns the trail after an artifact took over from the live one."""
        trail = list(self._up_to(live))
        if live is not None and (not trail or trail[-1].artifact_id != live):
            trail.append(_now(live))  # somebody set `current` by hand
        return History(activations=tuple([*trail, _now(artifact_id)][-_LONGEST:]))

    def back(self, artifact_id: str) -> "History":
        """Returns the trail after rolling back to an artifact."""
        return History(activations=self._up_to(artifact_id))

    def _up_to(self, live: str | None) -> tuple[Activation, ...]:
        ids = [activation.artifact_id for activation in self.activations]
        return self.activations[: len(ids) - ids[::-1].index(live)] if live in ids else self.activations


def read_history(root: Path) -> History:
    """Reads the trail; an empty one where there is no file or what is in it is no trail."""
    try:
        return History.model_validate_json((root / HISTORY).read_bytes())
    except (FileNotFoundError, ValidationError):
        return History()


def write_history(root: Path, history: History, *, staging: str) -> None:
    """Replaces the file in one step.

    Args:
        root: The artifacts folder.
        history: What it will hold.
        staging: Prefix of unfinished files, which the store clears away.
    """
    unfinished = root / f"{staging}{HISTORY}"
    with unfinished.open("wb") as file:
        file.write(history.model_dump_json(indent=1).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.chmod(0o644)  # the service may run as another user
    unfinished.replace(root / HISTORY)


def _now(artifact_id: str) -> Activation:
    return Activation(artifact_id=artifact_id, at=datetime.now(UTC).isoformat(timespec="milliseconds"))
