from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from app.engine import Engine
from models.errors import ArtifactCorruptError
from models.recaller import Recaller, UserQuery
from models.relation_head import HadamardHead, cosine_head, load_head, save_head
from models.types import Vector
from tests.app.harness import serving
from tests.artifacts import memory_artifact, unit_rows

ROWS = np.arange(3)
USER = np.array([0.6, 0.8], np.float32)
ITEMS = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)


def head(theta: list[float], bias: list[float]) -> HadamardHead:
    return HadamardHead(np.array(theta, np.float32), np.array(bias, np.float32))


@given(n=st.integers(1, 30), dim=st.integers(1, 48), seed=st.integers(0, 2**32 - 1))
def test_before_training_the_score_is_the_cosine(n: int, dim: int, seed: int) -> None:
    vectors = unit_rows(n + 1, dim, seed)
    user, items = vectors[0], vectors[1:]
    rows = np.random.default_rng(seed).permutation(n)
    scores = cosine_head(dim, n).score(user, items[rows], rows)
    expected = [np.dot(user.astype(np.float64), item.astype(np.float64)) for item in items[rows]]
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("theta", "bias", "scores"),
    [
        ([1, 1], [0, 0, 0], [0.6, 0.8, 1.0]),
        ([2, 0], [0, 0, 0], [1.2, 0, 0.72]),
        ([2, 0], [0, 3, 0], [1.2, 3, 0.72]),
        ([0, -1], [0.5, 0.5, 0], [0.5, -0.3, -0.64]),
        ([0, 0], [3, 1, 2], [3, 1, 2]),
    ],
)
def test_scores_are_theta_of_the_product_plus_the_items_bias(theta, bias, scores) -> None:
    np.testing.assert_allclose(head(theta, bias).score(USER, ITEMS, ROWS), scores, atol=1e-6)


def test_the_bias_follows_the_row_not_the_place_in_the_pool() -> None:
    scores = head([1, 1], [0, 10, 20]).score(USER, ITEMS[[2, 0]], np.array([2, 0]))
    np.testing.assert_allclose(scores, [21.0, 0.6], atol=1e-6)


@pytest.mark.parametrize(
    ("theta", "bias", "order"),
    [
        ([1, 1], [0, 0, 0], [2, 1, 0]),
        ([2, 0], [0, 0, 0], [0, 2, 1]),
        ([2, 0], [0, 3, 0], [1, 0, 2]),
        ([0, -1], [0, 0, 0], [0, 2, 1]),
    ],
)
def test_theta_and_bias_turn_the_order_of_the_candidates(theta, bias, order) -> None:
    recaller = Recaller(memory_artifact(ITEMS, head=head(theta, bias)))
    none = np.empty(0, np.int64)
    query = UserQuery(USER[None], none, np.empty(0, np.float32), none, k=3)
    recalled = recaller.recall(query)
    assert recalled.rows.tolist() == order
    np.testing.assert_allclose(recalled.recall_scores, (ITEMS @ USER)[order], atol=1e-6)
    np.testing.assert_array_equal(recalled.scores, recalled.relation_scores)
    assert recaller.recall(query, rescore=False).rows.tolist() == [2, 1, 0]


def test_only_the_pools_best_k_leave() -> None:
    """An item that the head likes best is still lost when the index doesn't hand it over."""
    vectors = unit_rows(300, 16)
    far = int(np.argmin(vectors @ vectors[0]))
    near = int(np.argsort(-(vectors @ vectors[0]))[150])
    bias = np.zeros(300, np.float32)
    bias[[far, near]] = 10, 5
    recaller = Recaller(memory_artifact(vectors, head=HadamardHead(np.ones(16, np.float32), bias)))
    none = np.empty(0, np.int64)
    query = UserQuery(vectors[:1], none, np.empty(0, np.float32), none, k=5)
    assert recaller.recall(query).rows[0] == near
    assert far not in recaller.recall(query).rows


async def test_the_head_acts_in_the_service(engine: Engine) -> None:
    artifact = engine.artifact
    bias = np.zeros(len(artifact.item_ids), np.float32)
    bias[artifact.rows["garden-tomatoes"]] = 100
    turned = replace(artifact, head=HadamardHead(artifact.head.theta, bias))
    request = {"text": "boots for mountain trails", "k": 60}
    async with serving(Engine(turned, engine.encoder, Recaller(turned))) as client:
        scored = (await client.post("/recall", json=request)).json()["candidates"]
        plain = (await client.post("/recall", json=request | {"rescore": False})).json()["candidates"]
    assert scored[0]["id"] == "garden-tomatoes"
    assert scored[0]["score"] == scored[0]["relation_score"] == pytest.approx(scored[0]["recall_score"] + 100, abs=1e-4)
    assert [candidate["id"] for candidate in scored[1:]] == [
        candidate["id"] for candidate in plain if candidate["id"] != "garden-tomatoes"
    ]
    assert plain[0]["id"] != "garden-tomatoes"
    assert plain[0]["relation_score"] is None


def test_a_head_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = head([0.25, -3], [1e-7, 2, -5])
    save_head(saved, tmp_path / "head.safetensors")
    loaded = load_head(tmp_path / "head.safetensors", kind="hadamard", dim=2, n_items=3)
    np.testing.assert_array_equal(loaded.theta, saved.theta)
    np.testing.assert_array_equal(loaded.bias, saved.bias)
    assert {name: tensor.dtype for name, tensor in load_file(tmp_path / "head.safetensors").items()} == {
        "theta": np.float32,
        "bias": np.float32,
    }


def tensors(theta: Vector, bias: Vector) -> dict[str, Vector]:
    return {"theta": theta, "bias": bias}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tensors(np.ones(3), np.zeros(3)), r"theta \(3,\) and bias \(3,\), the manifest says \(2,\) and \(3,\)"),
        (tensors(np.ones(2), np.zeros(4)), r"bias \(4,\)"),
        (tensors(np.ones((1, 2)), np.zeros(3)), r"theta \(1, 2\)"),
        (tensors(np.ones(2), np.zeros(())), r"bias \(\)"),
        ({"theta": np.ones(2)}, "holds no relation head .'bias'"),
        ({"bias": np.zeros(3)}, "holds no relation head .'theta'"),
    ],
)
def test_wrong_shapes_and_missing_parts_are_named(tmp_path: Path, content: dict[str, Vector], message: str) -> None:
    path = tmp_path / "head.safetensors"
    save_file({name: tensor.astype(np.float32) for name, tensor in content.items()}, path)
    with pytest.raises(ArtifactCorruptError, match=message) as caught:
        load_head(path, kind="hadamard", dim=2, n_items=3)
    assert "head.safetensors" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"x" * 7, b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_file_that_is_no_head_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "head.safetensors").write_bytes(content)
    with pytest.raises(ArtifactCorruptError, match=r"head\.safetensors holds no relation head"):
        load_head(tmp_path / "head.safetensors", kind="hadamard", dim=2, n_items=3)
    with pytest.raises(ArtifactCorruptError, match=r"absent holds no relation head"):
        load_head(tmp_path / "absent", kind="hadamard", dim=2, n_items=3)
