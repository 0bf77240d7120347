from pathlib import Path

import numpy as np

from index_builder.encoded_chunks import FOLDER, EncodedChunks
from models.artifact_writer import text_hashes
from tests.artifacts import unit_rows

TEXTS = [f"text {number}" for number in range(5)]
HASHES = text_hashes(TEXTS)
VECTORS = unit_rows(5, 8)


def test_what_was_saved_is_known_to_the_next_build(tmp_path: Path) -> None:
    assert EncodedChunks(tmp_path, "space").load() == {}
    EncodedChunks(tmp_path, "space").save(HASHES[:3], VECTORS[:3])
    EncodedChunks(tmp_path, "space").save(HASHES[3:], VECTORS[3:])
    known = EncodedChunks(tmp_path, "space").load()
    assert known.keys() == {row.tobytes() for row in HASHES}
    for key, vector in zip(HASHES, VECTORS, strict=True):
        np.testing.assert_array_equal(known[key.tobytes()], vector)


def test_another_vector_space_starts_anew(tmp_path: Path) -> None:
    EncodedChunks(tmp_path, "space").save(HASHES, VECTORS)
    assert EncodedChunks(tmp_path, "other").load() == {}
    assert EncodedChunks(tmp_path, "space").load() == {}


def test_a_damaged_or_unfinished_chunk_counts_as_never_written(tmp_path: Path) -> None:
    chunks = EncodedChunks(tmp_path, "space")
    chunks.save(HASHES[:2], VECTORS[:2])
    chunks.save(HASHES[2:], VECTORS[2:])
    first, second = sorted((tmp_path / FOLDER / "space").iterdir())
    first.write_bytes(first.read_bytes()[:-40])
    second.with_suffix(".tmp").write_bytes(b"half")
    assert len(chunks.load()) in (2, 3)
    assert not first.exists()


def test_clearing_leaves_nothing(tmp_path: Path) -> None:
    chunks = EncodedChunks(tmp_path, "space")
    chunks.save(HASHES, VECTORS)
    chunks.clear()
    assert list(tmp_path.iterdir()) == []
    chunks.clear()
