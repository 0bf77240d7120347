"""The fine-tuned copy: made once, found again, never of what came later, and nothing at all by default."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError

from index_builder import finetune as module
from index_builder.build import build
from index_builder.catalogue import Catalogue
from index_builder.config import EncoderConfig
from index_builder.encoder_source import find_model
from index_builder.finetune import FOLDER, Prepared, finetuned
from index_builder.inputs import Inputs
from index_builder.nightly import nightly
from models.artifact_store import ArtifactStore
from models.errors import ConfigError
from models.text import TextRecipe
from models.training.interactions import Interactions
from models.training.split import split
from models.types import Item
from tests.index_builder.world_tables import write
from tests.models.training.finetune_data import ITEM_TEXTS, interactions
from tests.models.training.worlds import World

SETTINGS: dict[str, Any] = {
    "finetune": "last_layers",
    "finetune_max_steps": 6,
    "finetune_batch": 8,
    "finetune_layers": 1,
    "device": "cpu",
}


def inputs_of(known: Interactions | None) -> Inputs:
    items = [Item(id=str(row), text=text, fields={}) for row, text in enumerate(ITEM_TEXTS)]
    catalogue = Catalogue(items=items, n_rows=len(items), warnings=[])
    return Inputs(catalogue, known, None, None, {}, [])


@dataclass
class Tuner:
    """Fine-tunes the tiny model beside the artifacts in `root`."""

    model: Path
    root: Path

    def __call__(self, known: Interactions | None = None, *, live: Any = None, keep: bool = False, **more: Any):
        config = EncoderConfig(model=str(self.model), **(SETTINGS | more))
        return finetuned(config, TextRecipe(), inputs_of(known or interactions()), self.root, live=live, keep_live=keep)

    def live(self, prepared: Prepared, *, newest: float | None = None) -> Any:
        """What an artifact says that was built with this copy."""
        print_of = find_model(prepared.config.model).fingerprint(prepared.config, TextRecipe(), "float32")
        facts = SimpleNamespace(encoder=SimpleNamespace(fingerprint=print_of), inputs=SimpleNamespace(newest=newest))
        return SimpleNamespace(manifest=facts)


@pytest.fixture
def tune(tiny_model: Path, tmp_path: Path) -> Tuner:
    return Tuner(tiny_model, tmp_path / "artifacts")


def ordered() -> Interactions:
    known = interactions()
    rng = np.random.default_rng(0)
    return replace(known, times=rng.permutation(len(known)).astype(float))


def test_off_by_default_and_nothing_is_touched(tmp_path: Path) -> None:
    config = EncoderConfig(model="no such model")
    assert finetuned(config, TextRecipe(), inputs_of(interactions()), tmp_path) == Prepared(config)
    assert not list(tmp_path.iterdir())


def test_the_copy_is_a_plain_model_with_other_weights(tune: Tuner, tiny_model: Path) -> None:
    prepared = tune()
    assert prepared.counts["steps"] == 6
    copy = Path(prepared.config.model)
    assert copy.name == "tiny-finetuned"
    before, after = find_model(str(tiny_model)), find_model(str(copy))
    assert before.files.keys() == after.files.keys()
    assert before.files["model.safetensors"] != after.files["model.safetensors"]
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_unchanged_inputs_reuse_the_copy_and_changed_ones_do_not(tune: Tuner) -> None:
    first, again = tune(), tune()
    assert (again.config, again.counts["reused"], again.counts["steps"]) == (first.config, 1, 0)
    assert tune(device="auto", truncate_dim=8).config.model == first.config.model
    assert tune(finetune_max_steps=5).config.model != first.config.model
    assert tune(ordered()).config.model != first.config.model


def test_a_killed_run_is_continued(tune: Tuner, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die_at_the_end(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("models.training.finetune_trainer.Steps.on_train_end", die_at_the_end, raising=False)
        with pytest.raises(Killed):
            tune(finetune_max_steps=7)
    (folder,) = (tune.root / FOLDER).iterdir()
    assert [path.name for path in folder.glob("*/*")] == ["checkpoint-7"]
    assert tune(finetune_max_steps=7).counts["steps"] == 0


@pytest.mark.parametrize(
    ("saves", "where"),
    [
        ("sentence_transformers.SentenceTransformer.save_pretrained", "unfinished"),
        ("models.training.finetune_trainer.save_file", "checkpoints"),
        ("torch.save", "checkpoints"),
    ],
)
def test_a_full_disk_is_an_error_that_says_what_to_do(
    tune: Tuner, monkeypatch: pytest.MonkeyPatch, saves: str, where: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr(saves, fail)
    with pytest.raises(OSError, match=f"{where} can't be written: No space left .*; make room on its disk"):
        tune()


def test_what_validation_holds_out_is_no_pair(tune: Tuner, pairs_seen: list[Interactions]) -> None:
    """Of times too: nothing of the pairs came after the first event that is asked for."""
    known = ordered()
    tune(known)
    past = split(known).past
    assert past.times is not None
    assert known.times is not None
    assert len(past) < len(known)
    np.testing.assert_array_equal(pairs_seen[0].times, past.times)
    assert pairs_seen[0].times.max() <= np.quantile(known.times, 0.9)


def test_a_night_keeps_the_live_copy_while_settings_are_the_same(tune: Tuner, pairs_seen: list[Interactions]) -> None:
    first = tune()
    night = tune(ordered(), live=tune.live(first), keep=True)
    assert night.config == first.config
    assert len(pairs_seen) == 1
    assert tune(ordered(), live=tune.live(first)).config != first.config


def test_a_night_with_other_settings_learns_from_nothing_that_the_live_artifact_had_not_seen(
    tune: Tuner, pairs_seen: list[Interactions]
) -> None:
    first = tune(ordered())
    tune(ordered(), live=tune.live(first, newest=80.0), keep=True, finetune_max_steps=3)
    assert pairs_seen[-1].times is not None
    assert pairs_seen[-1].times.max() <= 80


def test_old_copies_go_but_never_the_live_one(tune: Tuner) -> None:
    first = tune()
    for steps in (1, 2, 3, 4):
        time.sleep(0.01)
        tune(live=tune.live(first), finetune_max_steps=steps)
    kept = {Path(path).name for path in (tune.root / FOLDER).iterdir()}
    assert Path(first.config.model).parent.name in kept
    assert len(kept) == 4


@pytest.mark.parametrize("known", [None, Interactions(np.zeros(1, np.int64), ("u",), np.zeros(1, np.int64))])
def test_too_little_to_learn_from_leaves_the_encoder_as_it_is(known: Interactions | None, tune: Tuner) -> None:
    config = EncoderConfig(model=str(tune.model), **SETTINGS)
    prepared = finetuned(config, TextRecipe(), inputs_of(known), tune.root)
    assert prepared.config == config
    (warning,) = prepared.warnings
    assert warning.startswith('encoder.finetune is "last_layers", but the encoder stays as it is: ')


def test_missing_packages_are_named(tune: Tuner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "peft" else object())
    with pytest.raises(ConfigError, match="missing: peft; install the extra 'lora'"):
        tune(finetune="lora")


def test_a_build_serves_the_copy_and_the_night_after_it_has_nothing_to_do(tmp_path: Path, tiny_model: Path) -> None:
    settings = SETTINGS | {"model": str(tiny_model), "query_runtime": "openvino-f32"}
    section = "\n".join(f"{key} = {value!r}" for key, value in settings.items())
    world = World(n_themes=4, per_theme=10, n_users=40)
    config = write(world, tmp_path, f"[encoder]\n{section}\n[learning]\nenabled = false\n")
    assert build(config).warnings == []
    assert ArtifactStore(config.publish.artifacts).open().manifest.encoder.name == "tiny-finetuned"
    assert nightly(config).report.outcome == "unchanged"
    assert build(config).n_encoded == 0
