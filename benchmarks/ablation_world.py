"""What an ablation is judged on: the past without its newest part, that part's cases, features by text recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from index_builder.config import BuildConfig, TextConfig, load_config
from index_builder.contents import text_recipe
from index_builder.encode import encode_items, prepare_encoder
from index_builder.inputs import read_inputs
from index_builder.learn import first_words, some_words
from index_builder.user_texts import clean_texts, encode_users
from models.errors import ConfigError, DataError
from models.training.evaluate import past_and_future
from models.training.features import EncodedTexts, Features, make_features
from models.training.interactions import Interactions
from models.training.split import TASKS, Case, Task, draw, split

_SEED = 0
_DECAY = 0.8
_MAX_CASES, _MAX_HEAD_CASES = 2_000, 8_000  # as in a build


@dataclass(frozen=True, slots=True)
class World:
    """A data set of which the test is left out.

    Attributes:
        config: Of the data.
        folder: For encoders.
        before: All that was before the test, whose texts are read.
        past: What of it is fitted on.
        by_task: What judges; by the task asked for, and by any other where all are needed at once.
        for_head: What the head is fitted on and judged by: more of the same.
        task: Asked for.
    """

    config: BuildConfig
    folder: Path
    before: Interactions
    past: Interactions
    by_task: dict[Task, list[Case]]
    for_head: dict[Task, list[Case]]
    task: Task
    _known: dict[TextConfig, Features] = field(default_factory=dict)

    @property
    def cases(self) -> list[Case]:
        """Those of the task asked for."""
        return self.by_task[self.task]

    @property
    def decay(self) -> float:
        """What a step back in texts or history multiplies a weight by: the same for all, but for unordered rows."""
        return _DECAY if self.past.times is not None else 1.0

    def features(self, *, strip_punctuation: bool = False, stop_words: str | None = None) -> Features:
        """Returns the features that a text recipe gives; they are made once."""
        text = TextConfig(strip_punctuation=strip_punctuation, stop_words=stop_words)
        if text not in self._known:
            self._known[text] = self._make(text)
        return self._known[text]

    def _make(self, text: TextConfig) -> Features:
        recipe = text_recipe(text)
        folder = self.folder / f"encoder-{len(self._known)}"
        folder.mkdir()
        inputs = read_inputs(self.config.model_copy(update={"text": text}), recipe, rejects=folder / "rejects")
        item_texts = [item.text for item in inputs.catalogue.items]
        facts, load = prepare_encoder(self.config.encoder, recipe, folder, texts=item_texts, parent=None)
        encoder = load()
        items = encode_items(item_texts, facts, load=lambda: encoder, parent=None).embeddings
        clean, own = clean_texts(self.before, recipe) | clean_texts(self.past, recipe), first_words(item_texts)
        queries = some_words(item_texts)
        encoded, _ = encode_users([*clean.values(), *own, *queries], encoder, facts.dim, parent=None)
        texts = EncodedTexts(clean, encoded.embeddings, own, queries)
        return make_features(item_texts, items, texts, item_times=inputs.item_times, seed=_SEED)


def read_world(toml: Path, folder: Path, task: str) -> World:
    """Reads a data set and keeps its future away.

    Args:
        toml: Names the data.
        folder: For what is made on the way.
        task: "history" or "text".

    Raises:
        ConfigError: There are no interactions, or the task is no such thing.
        DataError: They leave nothing to validate on.
    """
    config = load_config(toml)
    if task not in TASKS:
        raise ConfigError(f"the task {task!r} is none of {', '.join(TASKS)}")
    found: Task = "text" if task == "text" else "history"
    inputs = read_inputs(config, text_recipe(config.text), rejects=folder / "rejects")
    if inputs.interactions is None:
        raise ConfigError(f"{toml} has no [interactions]: nothing is learnt, so nothing can be left out of it")
    before = past_and_future(inputs.interactions, seed=_SEED).past
    held_out = split(before, seed=_SEED)
    by_task, for_head = (_drawn(held_out.cases, limit) for limit in (_MAX_CASES, _MAX_HEAD_CASES))
    if found not in by_task:
        raise DataError(f"validation has {len(held_out.cases)} cases, none of the task {task!r}; ask for the other one")
    return World(config, folder, before, held_out.past, by_task, for_head, found)


def _drawn(cases: Sequence[Case], limit: int) -> dict[Task, list[Case]]:
    """Returns at most so many cases of each task that has any."""
    drawn = {task: draw(cases, task, limit, _SEED) for task in TASKS}
    return {task: group for task, group in drawn.items() if group}
