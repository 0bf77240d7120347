"""An evaluation with fine-tuning on: the copy has seen the past alone, and is what everybody is judged with."""

from pathlib import Path
from typing import Any

import numpy as np

from index_builder.config import BuildConfig
from index_builder.evaluate import PRODUCT, evaluate
from index_builder.finetune import FOLDER
from models.artifact_store import ArtifactStore
from models.training.evaluation import Evaluation
from models.training.interactions import Interactions
from models.training.split import split
from tests.index_builder.world_tables import write
from tests.models.training.worlds import World

WORLD = {"n_themes": 4, "per_theme": 10, "n_users": 60}


def config_of(folder: Path, model: Path, mode: str, **world: Any) -> BuildConfig:
    settings = {
        "model": str(model),
        "device": "cpu",
        "query_runtime": "openvino-f32",
        "finetune": mode,
        "finetune_max_steps": 4,
        "finetune_batch": 8,
        "finetune_layers": 1,
    }
    section = "\n".join(f"{key} = {value!r}" for key, value in settings.items())
    folder.mkdir()
    return write(World(**(WORLD | world)), folder, f"[encoder]\n{section}\n")


def zero_shot(evaluation: Evaluation) -> dict[str, float]:
    (found,) = (ranker for ranker in evaluation.rankers if ranker.name == "zero-shot")
    return found.tasks["history"].figures


def test_the_encoder_learns_from_the_past_and_everybody_is_judged_with_it(
    tmp_path: Path, tiny_model: Path, pairs_seen: list[Interactions]
) -> None:
    """Not from the newest of the past either: by that the product chooses its weights, the baselines their settings."""
    tuned = config_of(tmp_path / "tuned", tiny_model, "last_layers")
    evaluation = evaluate(tuned)
    (seen,) = pairs_seen
    cut = evaluation.data.cut
    assert cut is not None
    assert seen.times is not None
    assert seen.times.max() < cut
    assert len(seen) < evaluation.data.n_past
    assert [path.name for path in tuned.publish.artifacts.glob(f"{FOLDER}/*/*")] == ["tiny-finetuned"]
    assert evaluation.rankers[0].name == PRODUCT
    assert zero_shot(evaluation) != zero_shot(evaluate(config_of(tmp_path / "plain", tiny_model, "off")))
    assert ArtifactStore(tuned.publish.artifacts).current_id() is None


def test_users_who_are_asked_about_are_no_pairs(
    tmp_path: Path, tiny_model: Path, pairs_seen: list[Interactions]
) -> None:
    """Without times whole users are held out, of the evaluation and of its validation."""
    evaluation = evaluate(config_of(tmp_path / "tuned", tiny_model, "last_layers", ordered=False))
    assert evaluation.data.holdout == "users"
    world = World(**(WORLD | {"ordered": False})).interactions
    asked = {case.user for case in split(world, share=0.2, seed=0).cases}
    (seen,) = pairs_seen
    assert asked
    assert not asked & set(np.unique(seen.users).tolist())
