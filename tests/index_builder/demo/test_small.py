"""The small catalogue is also the other tests' fixture, so what they rely on is checked here."""

import json
from collections import Counter, defaultdict

import pytest

from index_builder.config import load_config
from index_builder.demo import small_catalogue_folder

FOLDER = small_catalogue_folder()


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def items() -> dict[str, dict]:
    return {row["item_id"]: row for row in rows("items.jsonl")}


@pytest.fixture(scope="module")
def by_user() -> dict[str, list[dict]]:
    users = defaultdict(list)
    for row in rows("interactions.jsonl"):
        users[row["user_id"]].append(row)
    return users


def test_sixty_items_in_six_themes_with_ids_of_their_own(items):
    assert len(rows("items.jsonl")) == len(items) == 60
    assert Counter(item["category"] for item in items.values()) == dict.fromkeys(
        ("hiking", "coffee", "astronomy", "gardening", "cycling", "board games"), 10
    )


def test_items_have_every_field(items):
    for item in items.values():
        assert set(item) == {"item_id", "title", "description", "category", "brand", "price"}
        assert item["title"].strip()
        assert item["description"].strip()
        assert item["brand"].strip()
        assert isinstance(item["price"], float)
        assert item["price"] > 0
    assert len({item["description"] for item in items.values()}) == 60


def test_every_interaction_names_an_item_once_a_user(items, by_user):
    for user_rows in by_user.values():
        ids = [row["item_id"] for row in user_rows]
        assert len(ids) == len(set(ids))
        assert set(ids) <= set(items)


def test_a_few_items_are_new(items, by_user):
    seen = {row["item_id"] for user_rows in by_user.values() for row in user_rows}
    assert set(items) - seen == {"astro-torch", "garden-bulbs", "game-memory"}


def test_forty_users_keep_to_one_or_two_themes(items, by_user):
    themes = [len({items[row["item_id"]]["category"] for row in user_rows}) for user_rows in by_user.values()]
    assert Counter(themes)[1] == 35
    assert Counter(themes)[2] == 5


def test_users_have_three_to_eight_interactions_at_different_times(by_user):
    for user_rows in by_user.values():
        assert 3 <= len(user_rows) <= 8
        times = [row["timestamp"] for row in user_rows]
        assert times == sorted(set(times))


def test_ratings_leave_each_user_three_positives_and_drop_some_rows(by_user):
    config = load_config(FOLDER / "recall.toml").interactions
    low = 0
    for user_rows in by_user.values():
        assert all(row["rating"] in range(1, 6) for row in user_rows)
        positives = [row for row in user_rows if row["rating"] >= config.min_rating]
        assert len(positives) >= 3
        low += len(user_rows) - len(positives)
    assert low == 6


def test_some_texts_are_missing_and_none_is_empty(by_user):
    texts = [row["text"] for user_rows in by_user.values() for row in user_rows]
    assert None in texts
    assert all(text.strip() for text in texts if text is not None)
    assert all(any(row["text"] for row in user_rows) for user_rows in by_user.values())


@pytest.mark.parametrize("sample", ["登山", "星空", "قهوة", "🎲"])
def test_several_scripts_are_in_the_catalogue(items, sample):
    assert any(sample in item["title"] + item["description"] for item in items.values())
