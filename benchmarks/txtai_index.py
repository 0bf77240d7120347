"""An artifact's items as an index of txtai, with the artifact's own encoder, and the configuration of its API.

Run by an environment that has txtai and not this project: `python benchmarks/txtai_index.py ARTIFACT CONFIG.yml`.
"""

import json
import sys
from pathlib import Path

from txtai import Embeddings  # type: ignore[import-not-found]  # of another environment


def main(artifact: Path, config: Path) -> None:
    """Encodes the items and writes index and configuration."""
    ids = json.loads((artifact / "item_ids.json").read_text())
    names = json.loads((artifact / "manifest.json").read_text())["text_fields"]
    with (artifact / "item_fields.jsonl").open() as lines:
        items = [json.loads(line) for line in lines]
    texts = [" ".join(str(item[name]) for name in names if item.get(name)) for item in items]
    model = str(artifact / "encoder")
    embeddings = Embeddings(path=model, method="sentence-transformers", content=False)
    embeddings.index(zip(ids, texts, [None] * len(ids), strict=True))
    index = config.with_suffix("")
    embeddings.save(str(index))
    config.write_text(
        f"path: {index}\nwritable: false\nembeddings:\n  path: {model}\n  method: sentence-transformers\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
