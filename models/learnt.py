"""What an artifact holds of a learnt matching, written and read here: factors, landmarks, lexicon, item vectors.

Large arrays are npy files, so that they are memory-mapped and shared between processes; small ones are safetensors.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.errors import ArtifactCorruptError, ArtifactMismatchError
from models.fused import FusedFacts, FusedMatching, UserSide
from models.lexical import Lexicon
from models.types import Matrix

ITEM_VECTORS = "item_vectors.npy"
ITEM_LEXICAL = "item_lexical.npy"
HISTORY_FACTORS = "history_factors.npy"
MATCHING = "matching.safetensors"
LEXICON = "lexicon.json"
USER_TEXT_HASHES = "user_text_hashes.npy"
USER_TEXT_EMBEDDINGS = "user_text_embeddings.npy"
LEARNT_FILES = frozenset(
    {ITEM_VECTORS, ITEM_LEXICAL, HISTORY_FACTORS, MATCHING, LEXICON, USER_TEXT_HASHES, USER_TEXT_EMBEDDINGS}
)
_COVARIANCES = ("covariance_zero_shot", "covariance_behaviour", "covariance_text", "covariance_popularity")


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """A learnt matching with both sides of its vectors.

    Attributes:
        matching: Makes user vectors.
        item_vectors: What the index holds, shape `(n_items, D)`.
        lexicon: Makes the lexical half of a text's vector; without terms it has no dimensions.
    """

    matching: FusedMatching
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
    np.save(folder / ITEM_LEXICAL, side.lexical)
    np.save(folder / HISTORY_FACTORS, side.history_factors)
    terms = sorted(learnt.lexicon.vocabulary, key=learnt.lexicon.vocabulary.__getitem__)
    (folder / LEXICON).write_bytes(orjson.dumps(terms))
    tensors = {
        "projection": side.projection,
        "landmarks": side.landmarks,
        "text_factors": side.text_factors,
        "lexicon": learnt.lexicon.projection,
        **dict(zip(_COVARIANCES, learnt.matching.covariances, strict=True)),
    }
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / MATCHING)


def load_learnt(folder: Path, facts: FusedFacts, embeddings: Matrix) -> Learnt:
    """Reads what `write_learnt` wrote.

    Args:
        folder: The artifact's directory.
        facts: The manifest's description.
        embeddings: Of the items, shape `(n_items, dim)`.

    Raises:
        ArtifactCorruptError: A file isn't what it should be.
        ArtifactMismatchError: Shapes contradict each other.
    """
    try:
        item_vectors, lexical, factors = (
            np.load(folder / name, mmap_mode="r", allow_pickle=False)
            for name in (ITEM_VECTORS, ITEM_LEXICAL, HISTORY_FACTORS)
        )
        tensors = load_file(folder / MATCHING)
        terms: list[str] = orjson.loads((folder / LEXICON).read_bytes())
        covariances = tuple(tensors[name] for name in _COVARIANCES)
        side = UserSide(
            kernel=facts.kernel,
            decay=facts.decay,
            embeddings=embeddings,
            lexical=lexical,
            projection=tensors["projection"],
            history_factors=factors,
            landmarks=tensors["landmarks"],
            text_factors=tensors["text_factors"],
        )
        lexicon = Lexicon({term: column for column, term in enumerate(terms)}, tensors["lexicon"])
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise ArtifactCorruptError(f"{MATCHING} or a file beside it can't be read ({error}); rebuild it") from error
    learnt = Learnt(FusedMatching(side, facts.weights, covariances), item_vectors, lexicon)  # type: ignore[arg-type]  # four names, four tensors
    _check_shapes(learnt, len(embeddings))
    return learnt


def _check_shapes(learnt: Learnt, n_items: int) -> None:
    side, lexicon = learnt.matching.side, learnt.lexicon
    text_dim = side.kernel.dim + side.lexical.shape[1]
    widths = [len(covariance) for covariance in learnt.matching.covariances]
    for name, shape, expected in (
        (ITEM_VECTORS, learnt.item_vectors.shape, (n_items, sum(widths))),
        (ITEM_LEXICAL, side.lexical.shape, (n_items, lexicon.projection.shape[1])),
        (HISTORY_FACTORS, side.history_factors.shape, (n_items, widths[1])),
        (f"projection in {MATCHING}", side.projection.shape, (text_dim, widths[0])),
        (f"landmarks in {MATCHING}", side.landmarks.shape, (len(side.landmarks), text_dim)),
        (f"text_factors in {MATCHING}", side.text_factors.shape, (len(side.landmarks), widths[2])),
        (LEXICON, (len(lexicon.vocabulary),), lexicon.projection.shape[:1]),
    ):
        if shape != expected:
            raise ArtifactMismatchError(f"{name} has shape {shape}, {expected} is needed; rebuild the artifact")
