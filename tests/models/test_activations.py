from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.activations import HISTORY, History, read_history, write_history


def trail(history: History) -> str:
    return "".join(activation.artifact_id for activation in history.activations)


def history_of(ids: str) -> History:
    history, live = History(), None
    for artifact_id in ids:
        history, live = history.forward(live, artifact_id), artifact_id
    return history


def test_going_forward_adds_and_going_back_takes() -> None:
    history = history_of("ABC")
    assert trail(history) == "ABC"
    assert history.before("C") == ["B", "A"]
    back = history.back("B")
    assert trail(back) == "AB"
    assert back.before("B") == ["A"]
    assert trail(back.back("A")) == "A"
    assert back.back("A").before("A") == []
    assert trail(back.forward("B", "D")) == "ABD"


def test_what_was_live_twice_is_gone_back_to_twice() -> None:
    history = history_of("ABAC")
    assert history.before("C") == ["A", "B", "A"]
    assert history.back("A").before("A") == ["B"]


@pytest.mark.parametrize("live", ["B", "A"])
def test_what_a_killed_writer_left_beyond_the_live_one_does_not_count(live: str) -> None:
    """It died after writing the trail and before `current` was replaced, or the other way round."""
    history = history_of("ABC")
    assert history.before(live) == ["A"][: "AB".index(live)]
    assert trail(history.forward(live, "D")) == "AB"[: "AB".index(live) + 1] + "D"


def test_a_live_one_that_the_trail_does_not_know_was_set_by_hand() -> None:
    history = history_of("AB")
    assert history.before("X") == ["B", "A"]
    assert trail(history.forward("X", "C")) == "ABXC"
    assert History().before("X") == []
    assert History().before(None) == []


@given(st.lists(st.sampled_from("ABCD"), max_size=300))
def test_it_stays_short_and_never_names_the_live_one_as_previous(ids: list[str]) -> None:
    history, live = History(), None
    for artifact_id in ids:
        if artifact_id == live:
            continue
        history, live = history.forward(live, artifact_id), artifact_id
        assert history.activations[-1].artifact_id == live
        assert len(history.activations) <= 100
        assert live not in history.before(live)[:1]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_history(tmp_path, history_of("AB"), staging=".staging-")
    assert read_history(tmp_path) == History.model_validate_json((tmp_path / HISTORY).read_bytes())
    assert trail(read_history(tmp_path)) == "AB"
    assert [path.name for path in tmp_path.iterdir()] == [HISTORY]
    assert (tmp_path / HISTORY).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"activations": [{"artifact_id": 1}]}', b"\xff"])
def test_a_file_that_holds_no_trail_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / HISTORY).write_bytes(content)
    assert read_history(tmp_path) == History()


def test_no_file_is_an_empty_trail(tmp_path: Path) -> None:
    assert read_history(tmp_path) == History()
