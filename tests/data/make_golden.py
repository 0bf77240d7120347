"""Wrote the golden artifact under `artifacts/v1/`, once: `python -m tests.data.make_golden`.

Every later version must open it and give the same candidates; a new format version gets a folder beside it.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.artifact import ENCODER
from models.artifact_store import ArtifactStore
from models.artifact_writer import ArtifactContents, write_artifact
from models.encoder import EncoderFacts, Prompts, QueryRuntime
from models.item_index import build_index
from models.manifest import Probe
from models.relation_head import HadamardHead
from models.text import TextRecipe
from models.types import Item, Matrix, Vector

GOLDEN = Path(__file__).parent / "artifacts" / "v1"
DIM = 8
PROBE = "a canary that sings the same song for ever"
ITEMS = {
    "boots": "Leather hiking boots for rocky trails",
    "poles": "Folding poles for long hiking trails",
    "grinder": "Hand grinder for fresh coffee",
    "beans": "Fresh roasted coffee beans",
    "茶": "緑茶 green tea, loose leaves",
    "empty": "",
}


class GoldenEncoder:
    """Hashes words into 8 dimensions with integers only: no library's next version moves it."""

    runtime: QueryRuntime = "openvino-f32"

    def __init__(self, folder: Path, facts: EncoderFacts, threads: int) -> None:
        self._seed = (folder / "seed.txt").read_text()

    def encode_user(self, text: str) -> tuple[Vector, bool]:
        total = np.ones(DIM)
        for word in re.findall(r"\w+", text.lower()):
            digest = hashlib.blake2b(f"{self._seed} {word}".encode(), digest_size=DIM).digest()
            total += np.frombuffer(digest, np.uint8).astype(np.float64) - 127.5
        return (total / np.sqrt((total * total).sum())).astype(np.float32), False

    def encode_users(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        return self.encode_items(texts, on_done)

    def encode_items(self, texts: Sequence[str], on_done: Callable[[int], None]) -> Matrix:
        on_done(len(texts))
        return np.stack([self.encode_user(text)[0] for text in texts])


def main() -> None:
    """Writes it, unless there is one."""
    store = ArtifactStore(GOLDEN)
    if store.ids():
        raise SystemExit(f"{GOLDEN} has its artifact; it was written once and stays as it is")
    recipe = TextRecipe(strip_punctuation=True, stop_words=("a", "for", "that", "the"))
    facts = EncoderFacts(
        name="golden",
        revision=None,
        dim=DIM,
        max_tokens=64,
        prompts=Prompts(),
        precision="float32",
        fingerprint="golden",
        query_runtime="openvino-f32",
    )
    with store.staging() as folder:
        (folder / ENCODER).mkdir()
        (folder / ENCODER / "seed.txt").write_text("golden")
        encoder = GoldenEncoder(folder / ENCODER, facts, 1)
        items = [Item(item_id, recipe.clean(text), {"title": text, "price": None}) for item_id, text in ITEMS.items()]
        embeddings = encoder.encode_items([item.text for item in items], lambda _: None)
        contents = ArtifactContents(
            items=items,
            item_fields=("title", "price"),
            embeddings=embeddings,
            popularity=np.array([1, 0, 3, 2, 3, 0], np.float32),
            index=build_index(embeddings, "flat", params={}),
            index_params={},
            learnt=None,
            user_texts=None,
            head=HadamardHead(
                np.linspace(0.5, 1.5, DIM, dtype=np.float32), np.linspace(0.2, -0.2, 6, dtype=np.float32)
            ),
            head_trained=True,
        )
        vector, _ = encoder.encode_user(recipe.clean(PROBE))
        probe = Probe(text=PROBE, vector=tuple(vector.tolist()), min_cosine=0.999)
        manifest = write_artifact(
            folder, contents, recipe=recipe, encoder=facts, probe=probe, quality={"ann_recall@100": 1.0}, parent=None
        )
        store.publish(folder, manifest)


if __name__ == "__main__":
    main()
