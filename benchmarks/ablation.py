"""What each choice of the recipe is worth on a data set: one thing changed at a time, judged on validation.

`python -m benchmarks.ablation PATH [--group GROUP …]` prints a table for each group: the text recipe, what is known of
texts, the tower's loss, the head's loss and what teaches it. Every fit is on the past without its newest part, which
judges; the test isn't looked at. Losses that the product doesn't have are put in the place of its own for the time of a
fit.
Exit 0 done, 1 failed, 2 bad usage.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import command
from benchmarks.ablation_head import head_pools, loss_rows, taught_rows
from benchmarks.ablation_world import World, read_world
from benchmarks.one_change import difference, patched
from benchmarks.quality import write_toml
from models.fused import SituationWeights
from models.training import fit_parts as parts_module
from models.training import tower_module
from models.training.features import Features
from models.training.fit_parts import fit_parts
from models.training.metrics import PerUser
from models.training.part_scores import FittedParts, PartScores
from models.training.tower import fit_tower
from models.training.tower_module import TowerTraining
from models.training.weigh import alone, best_weights
from models.types import Matrix

_TRAINING = TowerTraining(epochs=5)  # the same for all: early stopping would be one more difference
GROUPS = ("text recipe", "features", "tower", "head")


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing changed.

    Attributes:
        name: What.
        features: Makes the features of it, where they are other ones.
        training: How the tower is fitted.
        constants: Put in the place of a module's own while parts are fitted: (module, name, value).
    """

    name: str
    features: Callable[[World], Features] = World.features
    training: TowerTraining = _TRAINING
    constants: tuple[tuple[object, str, object], ...] = ()


def variants() -> dict[str, list[Variant]]:
    """Returns the groups whose parts are fitted anew; "head" has pools of the default's parts instead."""
    return {
        "text recipe": [
            Variant("without punctuation", lambda world: world.features(strip_punctuation=True)),
            Variant("without English stop words", lambda world: world.features(stop_words="en")),
            Variant("without both", lambda world: world.features(strip_punctuation=True, stop_words="en")),
        ],
        "features": [
            Variant("embeddings whitened", lambda world: whitened(world.features())),
            Variant("no lexical vectors", lambda world: without_lexical(world.features())),
            Variant("no word parts in the tower", lambda world: without_words(world.features())),
        ],
        "tower": [
            Variant("softmax over 512 sampled items", constants=_sampled(512)),
            Variant("softmax over 64 sampled items", constants=_sampled(64)),
            Variant("start temperature .03", constants=((tower_module, "_START_TEMPERATURE", 0.03),)),
            Variant("start temperature .2", constants=((tower_module, "_START_TEMPERATURE", 0.2),)),
            Variant("no residual of an item's own", training=replace(_TRAINING, item_dropout=1.0)),
            Variant("another seed", constants=((parts_module, "fit_tower", _reseeded(fit_tower)),)),
        ],
    }


def main(
    path: Annotated[Path, typer.Argument(help="recall.toml, or a folder with items.parquet and interactions.parquet.")],
    group: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(GROUPS)}; all without.")] = None,
    task: Annotated[str, typer.Option(help="history or text.")] = "history",
    last: Annotated[bool, typer.Option("--last", help="Hold each user's last event out, of a folder.")] = False,
) -> None:
    """Changes one thing at a time and prints what it does."""
    with tempfile.TemporaryDirectory() as work:
        toml = path if path.is_file() else write_toml(path, Path(work), ["text"], None, last=last)
        world = read_world(toml, Path(work), task)
        default = Variant("as shipped")
        parts = fitted(world, default)
        found = judged(world, default, parts)
        print_row(("", "zero-shot part", "behaviour", "tower", "all parts", "against the default"))
        print_row(("---",) * 6)
        print_row((default.name, *means(found), ""))
        for name, changed in variants().items():
            for variant in changed if group is None or name in group else ():
                other = judged(world, variant, fitted(world, variant))
                print_row((f"{name}: {variant.name}", *means(other), difference(other["all"], found["all"])))
        if group is None or "head" in group:
            pools = head_pools(world, parts)
            for row in (*loss_rows(pools), *taught_rows(pools)):
                print_row(row)


def fitted(world: World, variant: Variant) -> FittedParts:
    """Returns the parts that a variant makes of the past."""
    with patched(variant.constants):
        return fit_parts(world.past, variant.features(world), training=variant.training)


def judged(world: World, variant: Variant, parts: FittedParts) -> dict[str, PerUser]:
    """Returns mean recall over the cutoffs by case: of three parts alone, and of all with the best weights."""
    scores = PartScores(parts, world.cases, variant.features(world), world.decay)
    weights = {name: alone(name) for name in ("zero_shot", "behaviour", "tower")}
    weights["all"] = best_weights(scores, getattr(SituationWeights(), world.task))[0]
    return {name: scores.by_case(chosen) for name, chosen in weights.items()}


def whitened(features: Features) -> Features:
    """Returns the features with embeddings of equal variance in every direction of the catalogue, unit rows again."""
    items, dim = features.embeddings, features.embeddings.shape[1]
    centre = items.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(items.T))
    scaled = axes / np.sqrt(values + 1e-3 * values.mean())

    def white(rows: Matrix) -> Matrix:
        found = (rows - centre) @ scaled
        unit: Matrix = (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)).astype(np.float32)
        return unit

    texts = np.hstack([white(features.text_vectors[:, :dim]), features.text_vectors[:, dim:]])
    return replace(features, embeddings=white(items), text_vectors=texts)


def without_lexical(features: Features) -> Features:
    """Returns the features with lexical vectors of noise too small to matter."""
    texts = features.text_vectors.copy()
    texts[:, features.embeddings.shape[1] :] *= 1e-3
    return replace(features, item_lexical=1e-3 * features.item_lexical, text_vectors=texts)


def without_words(features: Features) -> Features:
    """Returns the features without the terms that add to the tower's vectors."""
    return replace(features, item_terms=0 * features.item_terms, text_terms=0 * features.text_terms)


def means(found: Mapping[str, PerUser]) -> tuple[str, ...]:
    """Returns the means over cases."""
    return tuple(f"{values.mean():.4f}" for values in found.values())


def print_row(cells: Sequence[str]) -> None:
    """Prints a row of a Markdown table, at once: a fit takes minutes."""
    print(f"| {' | '.join(cells)} |", flush=True)


def _sampled(n_negatives: int) -> tuple[tuple[object, str, object], ...]:
    return (tower_module, "FULL_SOFTMAX", 0), (tower_module, "_NEGATIVES", n_negatives)


def _reseeded(fit_tower: Callable[..., object]) -> Callable[..., object]:
    return lambda *rest, **options: fit_tower(*rest, **(options | {"seed": 1}))


if __name__ == "__main__":
    command.run(main)
