"""What format version 1 wrote, every later version reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from index_builder.verify import verify_artifact
from models.artifact import EMBEDDINGS, INDEX, ITEM_FIELDS, ITEM_IDS, MANIFEST, open_artifact
from models.recaller import Recaller, UserQuery
from tests.data.make_golden import GOLDEN, GoldenEncoder


@pytest.fixture
def golden() -> Path:
    (folder,) = GOLDEN.iterdir()
    return folder


def test_the_golden_artifact_opens_for_ever(golden: Path) -> None:
    artifact = verify_artifact(golden, load=GoldenEncoder)
    assert artifact.item_ids == ["boots", "poles", "grinder", "beans", "茶", "empty"]
    assert artifact.fields.get(4) == {"title": "緑茶 green tea, loose leaves", "price": None}
    assert artifact.manifest.text_recipe.clean("A tea, for <b>the</b> trail!") == "tea trail"
    np.testing.assert_allclose(np.linalg.norm(artifact.embeddings, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "history", "excluded", "rescored", "plain"),
    [
        (
            ["hiking on rocky trails!"],
            [],
            [],
            {"boots": 0.7368, "poles": 0.4845, "beans": 0.1752, "茶": -0.1919},
            {"boots": 0.5952, "poles": 0.3371, "beans": 0.3224, "茶": -0.1496},
        ),
        (
            [],
            ["beans"],
            ["beans"],
            {"boots": 0.5498, "grinder": 0.1967, "poles": -0.0016, "茶": -0.1454},
            {"boots": 0.4947, "grinder": 0.2691, "茶": 0.0967, "poles": -0.0128},
        ),
        (
            ["緑茶"],
            ["boots"],
            [],
            {"boots": 0.8385, "poles": 0.7398, "grinder": 0.5137, "茶": 0.469},
            {"boots": 0.7621, "茶": 0.6833, "poles": 0.6704, "grinder": 0.5677},
        ),
        ([], [], [], *2 * [{"grinder": 1.0, "茶": 1.0, "beans": 0.6667, "boots": 0.3333}]),
    ],
)
def test_the_golden_artifact_gives_the_same_candidates(
    golden: Path,
    texts: list[str],
    history: list[str],
    excluded: list[str],
    rescored: dict[str, float],
    plain: dict[str, float],
) -> None:
    artifact = open_artifact(golden)
    encoder = GoldenEncoder(artifact.encoder_folder, artifact.manifest.encoder, 1)
    vectors = [encoder.encode_user(artifact.manifest.text_recipe.clean(text))[0] for text in texts]
    query = UserQuery(
        texts=np.array(vectors, np.float32).reshape(-1, 8),
        history=np.array([artifact.rows[item_id] for item_id in history], np.int64),
        weights=np.ones(len(history), np.float32),
        excluded=np.array([artifact.rows[item_id] for item_id in excluded], np.int64),
        k=4,
    )
    for rescore, expected in ((True, rescored), (False, plain)):
        recalled = Recaller(artifact).recall(query, rescore=rescore)
        assert [artifact.item_ids[row] for row in recalled.rows] == list(expected)
        np.testing.assert_allclose(recalled.scores, list(expected.values()), atol=1e-4)


def test_the_golden_artifact_is_stored_byte_for_byte(golden: Path) -> None:
    """A checkout that converts line ends would break it; its .gitattributes forbids that."""
    attributes = (GOLDEN.parents[1] / ".gitattributes").read_text()
    assert "artifacts/** binary" in attributes
    assert json.loads((golden / ITEM_IDS).read_bytes())[0] == "boots"
    assert b"\r" not in (golden / ITEM_FIELDS).read_bytes() + (golden / MANIFEST).read_bytes()
    assert (golden / EMBEDDINGS).stat().st_size == 128 + 6 * 8 * 4
    assert (golden / INDEX).read_bytes()[:4] == b"IxFI"
