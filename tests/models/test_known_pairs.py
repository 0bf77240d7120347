"""The sample of pairs in an artifact: what is written is read, and what isn't one is refused."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import ArtifactCorruptError
from models.known_pairs import KNOWN_PAIRS, KnownPairs, load_known_pairs, write_known_pairs


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_known_pairs(tmp_path, KnownPairs(np.array([2**64 - 1, 3], np.uint64), np.array([7, 0])))
    known = load_known_pairs(tmp_path)
    assert known is not None
    assert (known.users.tolist(), known.items.tolist(), len(known)) == ([2**64 - 1, 3], [7, 0], 2)


def test_an_artifact_without_a_sample_has_none(tmp_path: Path) -> None:
    assert load_known_pairs(tmp_path) is None


@pytest.mark.parametrize("table", [np.zeros((3, 3), np.uint64), np.zeros((3, 2), np.int64), np.zeros(3, np.uint64)])
def test_another_table_is_refused(tmp_path: Path, table: np.ndarray) -> None:
    np.save(tmp_path / KNOWN_PAIRS, table)
    with pytest.raises(ArtifactCorruptError, match=r"uint64 \(n, 2\) is needed"):
        load_known_pairs(tmp_path)


def test_bytes_that_are_no_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / KNOWN_PAIRS).write_bytes(b"no table")
    with pytest.raises(ArtifactCorruptError, match=r"can't be read"):
        load_known_pairs(tmp_path)
