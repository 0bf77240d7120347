"""Items a second: the builder's encoder beside `SentenceTransformer.encode(batch_size=32)` in float32, in turns.

`python -m benchmarks.item_side ARTIFACT ITEMS` prints both and their ratio, round by round, as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from sentence_transformers import SentenceTransformer

from index_builder.config import EncoderConfig
from index_builder.encode import item_encoder
from models.artifact import ENCODER, ITEM_FIELDS, read_manifest

_ROUNDS = 3


def compare(artifact: Path, n_items: int) -> list[dict[str, float]]:
    """Encodes a sample of the artifact's items both ways."""
    manifest = read_manifest(artifact)
    with (artifact / ITEM_FIELDS).open("rb") as lines:
        fields = [orjson.loads(line) for line in lines]
    step = max(1, len(fields) // n_items)
    texts = [
        manifest.text_recipe.item_text([item[name] for name in manifest.text_fields if item.get(name)])
        for item in fields[::step][:n_items]
    ]
    facts = manifest.encoder
    ours = item_encoder(EncoderConfig(), artifact / ENCODER, facts, facts.precision)
    textbook = SentenceTransformer(str(artifact / ENCODER), device="cpu")
    rounds = []
    for _ in range(_ROUNDS):
        own = _rate(len(texts), lambda: ours.encode_items(texts, lambda _: None))
        other = _rate(len(texts), lambda: textbook.encode(texts, batch_size=32))
        rounds.append({"ours": own, "textbook": other, "ratio": own / other})
    return rounds


def _rate(n: int, encode: Callable[[], object]) -> float:
    start = time.perf_counter()
    encode()
    return n / (time.perf_counter() - start)


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]), int(sys.argv[2]))))
