"""What an artifact holds of a learnt matching, written and read here: factors, tower, lexicon, item vectors.

Large arrays are npy files, so that they are memory-mapped and shared between processes; small ones are safetensors.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.errors import ArtifactCorruptError, ArtifactMismatchError
from models.fused import FusedFacts, FusedMatching, UserSide
from models.item_side import ItemSide
from models.lexical import Lexicon
from models.native.lexicon import native_lexicon
from models.native.matching import native_matching
from models.neighbours import Neighbours
from models.tower import Tower, tensor_shapes
from models.types import Matrix
from models.user_text_neighbours import UserTextNeighbours, nobody_wrote

ITEM_VECTORS = "item_vectors.npy"
HISTORY_FACTORS = "history_factors.npy"
NEIGHBOURS = "neighbours.npy"
NEIGHBOUR_COSINES = "neighbour_cosines.npy"
TEXT_NEIGHBOURS = "text_neighbours.npy"
TEXT_NEIGHBOUR_STARTS = "text_neighbour_starts.npy"
TEXT_NEIGHBOUR_ITEMS = "text_neighbour_items.npy"
TEXT_NEIGHBOUR_FILES = (TEXT_NEIGHBOURS, TEXT_NEIGHBOUR_STARTS, TEXT_NEIGHBOUR_ITEMS)
MATCHING = "matching.safetensors"
LEXICON = "lexicon.json"
TERM_VECTORS = "term_vectors.npy"
USER_TEXT_HASHES = "user_text_hashes.npy"
USER_TEXT_EMBEDDINGS = "user_text_embeddings.npy"
LEARNT_FILES = frozenset(
    {
        ITEM_VECTORS,
        HISTORY_FACTORS,
        NEIGHBOURS,
        NEIGHBOUR_COSINES,
        *TEXT_NEIGHBOUR_FILES,
        MATCHING,
        LEXICON,
        TERM_VECTORS,
        USER_TEXT_HASHES,
        USER_TEXT_EMBEDDINGS,
    }
)
_TOWER = "tower."
_NEW_POPULARITY = "popularity_of_new"  # absent from artifacts of before items had times
_COVARIANCES = ("covariance_zero_shot", "covariance_behaviour", "covariance_tower", "covariance_popularity")


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """A learnt matching with both sides of its vectors.

    Attributes:
        matching: Makes user vectors.
        item_side: Makes the vectors of items that it wasn't fitted with.
        item_vectors: What the index holds, shape `(n_items, D)`.
        lexicon: Makes what a text's words add to its embedding.
    """

    matching: FusedMatching
    item_side: ItemSide
    item_vectors: Matrix
    lexicon: Lexicon


@dataclass(frozen=True, slots=True, eq=False)
class UserTexts:
    """Embeddings of the user texts that were learnt from, so that the next build needn't encode them again.

    Attributes:
        hashes: Of the clean texts, shape `(n, 16)`.
        embeddings: Shape `(n, dim)`.
    """

    hashes: NDArray[np.uint8]
    embeddings: Matrix


def write_user_texts(folder: Path, texts: UserTexts) -> None:
    """Writes them into an artifact's directory; only builders read them."""
    np.save(folder / USER_TEXT_HASHES, texts.hashes)
    np.save(folder / USER_TEXT_EMBEDDINGS, texts.embeddings)


def load_user_texts(folder: Path) -> UserTexts:
    """Reads what `write_user_texts` wrote."""
    hashes = np.load(folder / USER_TEXT_HASHES, allow_pickle=False)
    return UserTexts(hashes, np.load(folder / USER_TEXT_EMBEDDINGS, mmap_mode="r", allow_pickle=False))


def write_learnt(folder: Path, learnt: Learnt) -> None:
    """Writes it into an artifact's directory."""
    side = learnt.matching.side
    np.save(folder / ITEM_VECTORS, learnt.item_vectors)
    np.save(folder / HISTORY_FACTORS, side.history_factors)
    np.save(folder / NEIGHBOURS, side.neighbours.rows)
    np.save(folder / NEIGHBOUR_COSINES, side.neighbours.cosines)
    np.save(folder / TEXT_NEIGHBOURS, side.text_neighbours.texts)
    np.save(folder / TEXT_NEIGHBOUR_STARTS, side.text_neighbours.starts)
    np.save(folder / TEXT_NEIGHBOUR_ITEMS, side.text_neighbours.items)
    lexicon = learnt.lexicon
    np.save(folder / TERM_VECTORS, np.hstack([lexicon.loadings, lexicon.words]))
    terms = sorted(lexicon.vocabulary, key=lexicon.vocabulary.__getitem__)
    (folder / LEXICON).write_bytes(orjson.dumps(terms))
    tensors = {
        "projection": side.projection,
        "behaviour_of_text": learnt.item_side.behaviour,
        "history_of_text": learnt.item_side.history,
        "idf": lexicon.idf,
        _NEW_POPULARITY: np.array([learnt.item_side.popularity], np.float32),
        **{_TOWER + name: tensor for name, tensor in side.tower.tensors.items()},
        **dict(zip(_COVARIANCES, learnt.matching.covariances, strict=True)),
    }
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / MATCHING)


def load_learnt(folder: Path, facts: FusedFacts, *, n_items: int, dim: int) -> Learnt:
    """Reads what `write_learnt` wrote.

    Args:
        folder: The artifact's directory.
        facts: The manifest's description.
        n_items: Items of the catalogue.
        dim: Of the embeddings.

    Raises:
        ArtifactCorruptError: A file isn't what it should be.
        ArtifactMismatchError: Shapes contradict each other.
    """
    try:
        item_vectors, factors, term_vectors, near, cosines = (
            _map(folder / name) for name in (ITEM_VECTORS, HISTORY_FACTORS, TERM_VECTORS, NEIGHBOURS, NEIGHBOUR_COSINES)
        )
        tensors = load_file(folder / MATCHING)
        terms: list[str] = orjson.loads((folder / LEXICON).read_bytes())
        covariances = tuple(tensors[name] for name in _COVARIANCES)
        tower = Tower(facts.tower, {name.removeprefix(_TOWER): tensor for name, tensor in tensors.items()})
        zero_shot_dim = len(covariances[0])
        before = zero_shot_dim + len(covariances[1])
        side = UserSide(
            decay=facts.decay,
            projection=tensors["projection"],
            history_factors=factors,
            tower=tower,
            zero_shot_items=item_vectors[:, :zero_shot_dim],
            tower_items=item_vectors[:, before : before + facts.tower.width],
            neighbours=Neighbours(near, cosines),
            text_neighbours=_load_text_neighbours(folder, n_items),
        )
        item_side = ItemSide(
            side.projection,
            tensors["behaviour_of_text"],
            tensors["history_of_text"],
            tower,
            float(tensors[_NEW_POPULARITY][0]) if _NEW_POPULARITY in tensors else 0.0,
        )
        loadings, words = term_vectors[:, : -facts.tower.width], term_vectors[:, -facts.tower.width :]
        lexicon = Lexicon({term: column for column, term in enumerate(terms)}, tensors["idf"], loadings, words)
    except (SafetensorError, KeyError, OSError, ValueError, IndexError) as error:
        raise ArtifactCorruptError(f"{MATCHING} or a file beside it can't be read ({error}); rebuild it") from error
    matching = FusedMatching(side, facts.weights, covariances)  # type: ignore[arg-type]  # four names, four tensors
    learnt = Learnt(matching, item_side, item_vectors, lexicon)
    _check_shapes(learnt, n_items, dim)
    return replace(learnt, matching=native_matching(matching), lexicon=native_lexicon(lexicon, term_vectors))


def _load_text_neighbours(folder: Path, n_items: int) -> UserTextNeighbours:
    """Reads who wrote what; an artifact of before there was that has nobody.

    Raises:
        ValueError: The files don't belong together.
    """
    if not (folder / TEXT_NEIGHBOURS).exists():
        return nobody_wrote()
    texts, starts, items = (_map(folder / name) for name in TEXT_NEIGHBOUR_FILES)
    if (
        (texts.ndim, starts.shape, items.ndim) != (2, (len(texts) + 1,), 1)
        or (starts[0], starts[-1]) != (0, len(items))
        or (np.diff(starts) < 0).any()
        or items.min(initial=0) < 0
        or items.max(initial=-1) >= n_items
    ):
        raise ValueError(f"{', '.join(TEXT_NEIGHBOUR_FILES)} don't belong together or to {n_items} items")
    return UserTextNeighbours(texts, starts, items)


def _map(path: Path) -> NDArray[Any]:
    """Returns a plain view of a memory map: its own class makes every slice slower."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _check_shapes(learnt: Learnt, n_items: int, dim: int) -> None:
    side, item_side, lexicon = learnt.matching.side, learnt.item_side, learnt.lexicon
    widths = [len(covariance) for covariance in learnt.matching.covariances]
    n_terms, tower_dim = len(lexicon.vocabulary), side.tower.facts.width
    text_dim = dim + lexicon.loadings.shape[1]
    n_writers, n_axes = side.text_neighbours.texts.shape
    for name, shape, expected in (
        (ITEM_VECTORS, learnt.item_vectors.shape, (n_items, sum(widths))),
        (HISTORY_FACTORS, side.history_factors.shape, (n_items, widths[1])),
        (NEIGHBOURS, side.neighbours.rows.shape, (n_items, side.neighbours.cosines.shape[-1])),
        (NEIGHBOUR_COSINES, side.neighbours.cosines.shape, (n_items, side.neighbours.rows.shape[-1])),
        (TEXT_NEIGHBOURS, (n_writers, n_axes), (n_writers, min(n_axes, widths[0]))),
        (f"projection in {MATCHING}", side.projection.shape, (text_dim, widths[0])),
        (f"behaviour_of_text in {MATCHING}", item_side.behaviour.shape, (text_dim, widths[1])),
        (f"history_of_text in {MATCHING}", item_side.history.shape, (text_dim, widths[1])),
        (f"covariance_tower in {MATCHING}", (widths[2],), (tower_dim,)),
        (f"idf in {MATCHING}", lexicon.idf.shape, (n_terms,)),
        (TERM_VECTORS, lexicon.words.shape, (n_terms, tower_dim)),
        *_tower_shapes(side.tower, text_dim),
    ):
        if shape != expected:
            raise ArtifactMismatchError(f"{name} has shape {shape}, {expected} is needed; rebuild the artifact")


def _tower_shapes(tower: Tower, text_dim: int) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Returns name, shape and needed shape of each tensor of the tower.

    Raises:
        ArtifactCorruptError: One is missing.
    """
    shapes = []
    for name, expected in tensor_shapes(tower.facts, text_dim).items():
        if name not in tower.tensors:
            raise ArtifactCorruptError(f"{MATCHING} has no {_TOWER}{name}; rebuild the artifact")
        shapes.append((f"{_TOWER}{name} in {MATCHING}", tower.tensors[name].shape, expected))
    return shapes
