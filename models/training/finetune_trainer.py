"""The trainer, with checkpoints that hold what may change and nothing else, and an estimate of its time."""

import json
import shutil
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformerTrainer
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from models.disk import writing

_WEIGHTS = "trained.safetensors"
_STATE = "trainer_state.json"
_WARM_UP = 5  # steps that the estimate is made from; the first of them is left out


class Trainer(SentenceTransformerTrainer):
    """sentence-transformers' trainer: no model card, nothing on stdout, small checkpoints."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401  # the library's own arguments
        super().__init__(**arguments)
        self.remove_callback(PrinterCallback)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Adds nothing: a model card may ask a hub about the model."""

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:  # noqa: ANN401  # the library's own
        assert self.args.output_dir is not None
        with writing(Path(self.args.output_dir)):  # the weights, and what torch writes beside them
            super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        assert output_dir is not None
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        save_file(self._trained(), Path(output_dir) / _WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        weights, saved = self._trained(), load_file(Path(resume_from_checkpoint) / _WEIGHTS)
        assert weights.keys() == saved.keys()
        for name, weight in weights.items():
            weight.copy_(saved[name])

    def _trained(self) -> dict[str, torch.Tensor]:
        named = self.model.named_parameters()
        return {name: weight.detach() for name, weight in named if weight.requires_grad}


class Steps(TrainerCallback):
    """Follows the steps, and says after the first few how long the rest will take.

    Args:
        n_steps: In all.
        what: Is done, and where.
        say: Takes the estimate.

    Attributes:
        advance: Takes how many more steps are done.
        n_resumed: Steps that a checkpoint had done.
    """

    def __init__(self, n_steps: int, what: str, *, say: Callable[[str], None]) -> None:
        self._n_steps, self._what, self._say = n_steps, what, say
        self._ends: list[float] = []
        self.advance: Callable[[int], None] = lambda _: None
        self.n_resumed = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Notes where a checkpoint had come to."""
        self.n_resumed = state.global_step
        self.advance(self.n_resumed)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Takes the time; says the estimate once."""
        self._ends.append(time.perf_counter())
        if len(self._ends) == _WARM_UP:
            each = statistics.median(end - start for start, end in pairwise(self._ends))
            left = each * (self._n_steps - state.global_step)
            self._say(f"{self._what}: about {_duration(left)} to go, by the first {_WARM_UP} steps ({each:.2f} s each)")
        self.advance(1)


def newest_checkpoint(folder: Path) -> Path | None:
    """Returns the newest checkpoint that was written to its end; deletes those that were not."""
    found = []
    for path in folder.glob("checkpoint-*"):
        try:
            found.append((int(json.loads((path / _STATE).read_text(encoding="utf-8"))["global_step"]), path))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(path, ignore_errors=True)
    return max(found)[1] if found else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
