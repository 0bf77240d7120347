"""What users wrote and consumed, gathered from a small past."""

import numpy as np
import pytest

from models.training import user_text_neighbours as module
from models.training.features import EncodedTexts, Features, make_features
from models.training.split import UserEvents
from models.training.user_text_neighbours import fit_user_text_neighbours

TEXTS = ["web framework", "light boots", "green tea", "black tea"]
EMBEDDINGS = np.eye(4, 6, dtype=np.float32)


@pytest.fixture(scope="module")
def features() -> Features:
    written = EncodedTexts({text: text for text in TEXTS}, EMBEDDINGS)
    return make_features(["a web item", "a tea item", "boots", "tea"], EMBEDDINGS, written, seed=0)


def events(*texts: str | None, items: list[int], newest: float | None = None) -> UserEvents:
    times = None if newest is None else newest - np.arange(len(items), dtype=np.float64)[::-1]
    return UserEvents(np.array(items), texts, times)


def projection(features: Features) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.eye(features.text_vectors.shape[1], dtype=np.float32)


def test_each_who_wrote_is_there_with_each_text_and_item_once(features: Features) -> None:
    users = [
        events("green tea", None, "black tea", "green tea", items=[1, 3, 0, 3]),
        events(None, "unknown", items=[2, 2]),
        events("light boots", items=[2]),
    ]
    found = fit_user_text_neighbours(users, features, projection(features))
    teas = features.text_vectors[2] + features.text_vectors[3]
    np.testing.assert_allclose(found.texts[0], teas / np.linalg.norm(teas), rtol=1e-5)
    assert len(found.texts) == 2
    assert found.starts.tolist() == [0, 3, 4]
    assert found.items.tolist() == [3, 0, 1, 2]  # the newest first
    assert found.nearest(features.text_vectors[1:2]).users[0] == 1


def test_where_nobody_wrote_nobody_is_alike(features: Features) -> None:
    found = fit_user_text_neighbours([events(None, items=[1])], features, projection(features))
    assert len(found.nearest(features.text_vectors[:1]).users) == 0


def test_of_many_users_the_newest_are_kept(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_USERS", 2)
    users = [events("green tea", items=[row], newest=time) for row, time in enumerate((5.0, 1.0, 9.0, 2.0))]
    assert fit_user_text_neighbours(users, features, projection(features)).items.tolist() == [0, 2]


def test_without_times_a_seeded_sample_is_kept(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_USERS", 2)
    users = [events("green tea", items=[row % 4]) for row in range(40)]
    samples = [fit_user_text_neighbours(users, features, projection(features), seed=seed) for seed in (0, 0, 1)]
    kept = [sample.items.tolist() for sample in samples]
    assert len(kept[0]) == 2
    assert kept[0] == kept[1]


def test_of_a_long_history_the_newest_items_are_kept(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ITEMS", 2)
    found = fit_user_text_neighbours([events("green tea", items=[0, 1, 2, 1])], features, projection(features))
    assert found.items.tolist() == [1, 2]
