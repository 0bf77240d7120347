"""User texts for load, cut from an artifact's own items; nothing from outside.

Equal seeds give equal texts, so every side is asked the same.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from models.artifact import ITEM_FIELDS, read_manifest
from models.errors import DataError

N_WORDS = 30


def item_words(artifact: Path) -> list[list[str]]:
    """Reads the words of each item: its fields of several words, cleaned by the artifact's recipe.

    An item without such a field is left out, such as one in a language written without blanks.

    Raises:
        ArtifactError: The artifact's manifest is missing or damaged.
        DataError: No item is left.
    """
    recipe = read_manifest(artifact).text_recipe
    items = []
    with (artifact / ITEM_FIELDS).open("rb") as lines:
        for line in lines:
            values = orjson.loads(line).values()
            words = recipe.item_text([value for value in values if isinstance(value, str) and " " in value]).split()
            if words:
                items.append(words)
    if not items:
        raise DataError(
            f"no item of {artifact} has a field of several words to make texts of; measure another artifact"
        )
    return items


def unique_texts(items: Sequence[Sequence[str]], seed: int) -> Iterator[str]:
    """Yields texts of 30 words without end, no two alike.

    A text is a window of one item's words, as written; of shorter items it takes several, and where a window was
    there before, its words are shuffled.

    Args:
        items: The words of each item; at least one item.
        seed: Decides which.
    """
    rng = random.Random(seed)
    seen: set[bytes] = set()
    while True:
        words: list[str] = []
        while len(words) < N_WORDS:
            item = rng.choice(items)
            start = rng.randrange(max(1, len(item) - N_WORDS + 1))
            words += item[start : start + N_WORDS - len(words)]
        while (key := " ".join(words).encode()) in seen:
            rng.shuffle(words)
        seen.add(key)
        yield key.decode()
