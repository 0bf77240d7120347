"""The encoder alone: texts a second on all cores by the runtime that serves, the ceiling for uncached requests.

`python -m benchmarks.bare_encoder ARTIFACT SECONDS SEED` prints the figure. No HTTP, no search, no cache.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Lock

from benchmarks.texts import item_words, unique_texts
from index_builder.encode import cores
from models.artifact import open_artifact
from models.query_encoder import open_query_encoder


def texts_per_second(artifact: Path, seconds: float, seed: int) -> float:
    """Encodes texts that no two are alike, one at a time, in one thread more than there are cores: as the service."""
    texts, taking = unique_texts(item_words(artifact), seed), Lock()
    encoder, threads = open_query_encoder(open_artifact(artifact), threads=cores()), cores() + 1

    def encode(until: float) -> int:
        n = 0
        while time.perf_counter() < until:
            with taking:
                piece = list(islice(texts, 16))
            for text in piece:
                encoder.encode_user(text)
            n += len(piece)
        return n

    with ThreadPoolExecutor(threads) as pool:
        for figure in (min(1.0, seconds / 4), seconds):  # the first time each length is prepared
            start = time.perf_counter()
            n = sum(pool.map(encode, [start + figure] * threads))
            rate = n / (time.perf_counter() - start)
    return rate


if __name__ == "__main__":
    print(texts_per_second(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
