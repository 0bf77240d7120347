from itertools import islice
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.texts import N_WORDS, item_words, unique_texts
from models.artifact_store import ArtifactStore

WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=80, unique=False).filter(lambda w: len(set(w)) > 1)


@settings(deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(0, 3))
def test_texts_are_unique_and_made_of_the_items_words(items: list[list[str]], seed: int) -> None:
    texts = list(islice(unique_texts(items, seed), 100))
    assert len(set(texts)) == 100
    assert {len(text.split()) for text in texts} == {N_WORDS}
    assert {word for text in texts for word in text.split()} <= {word for item in items for word in item}
    assert texts == list(islice(unique_texts(items, seed), 100))


def test_another_seed_gives_other_texts() -> None:
    items = [[str(number) for number in range(200)]]
    assert next(unique_texts(items, 1)) != next(unique_texts(items, 2))


def test_a_text_is_a_window_of_one_item_as_written() -> None:
    item = [str(number) for number in range(200)]
    text = next(unique_texts([item], 1))
    assert text in " ".join(item)


def test_words_come_from_the_fields_that_are_text(built_demo: Path) -> None:
    folder = ArtifactStore(built_demo / "artifacts").folder()
    items = item_words(folder)
    assert items[0][:5] == ["Leather", "hiking", "boots", "Stiff", "leather"]
    assert not {"34.5", "hiking boots"} & {word for item in items for word in item}
