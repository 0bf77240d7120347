"""An artifact's items as an index of txtai, with the artifact's own encoder, and the configuration of its API.

Run by an environment that has txtai and not this project: `python benchmarks/txtai_index.py ARTIFACT CONFIG.yml`.
"""

import json
import sys
from pathlib import Path

import numpy as np
from txtai import Embeddings  # type: ignore[import-not-found]  # of another environment


def main(artifact: Path, config: Path) -> None:
    """Writes index and configuration; items aren't encoded again, their vectors are the artifact's embeddings."""
    ids = json.loads((artifact / "item_ids.json").read_text())
    vectors = np.load(artifact / "item_embeddings.npy")
    model = str(artifact / "encoder")
    embeddings = Embeddings(method="external", content=False)
    embeddings.index(zip(ids, vectors, [None] * len(ids), strict=True))
    embeddings.config |= {"path": model, "method": "sentence-transformers"}  # for queries
    index = config.with_suffix("")
    embeddings.save(str(index))
    config.write_text(
        f"path: {index}\nwritable: false\nembeddings:\n  path: {model}\n  method: sentence-transformers\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
