"""Whenever the mover of events dies, the next run neither loses nor doubles one."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder import feedback
from index_builder.config import FeedbackConfig
from index_builder.feedback import read_taken, take_events
from models.event_stores import open_store
from models.events import START, EventStore
from tests.index_builder.events import event, ids_of, rows_of
from tests.killed_taker import Watched, config_of
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
Fresh = Callable[[], FeedbackConfig]


def _prepared(folder: Path) -> Path:
    """A folder where events were taken, one user was erased since, and more came: everything a run can meet."""
    config = config_of(folder)
    store = open_store(config.source)
    store.append([event(f"old{n}", f"u{n % 3}") for n in range(6)])
    take_events(config)
    store.append([event(f"new{n}", f"u{n % 3}") for n in range(6)])
    store.erase("u1")
    store.append([event("back", "u1")])
    store.close()
    return folder


EXPECTED = sorted(["old0", "old2", "old3", "old5", "new0", "new2", "new3", "new5", "back"])


def test_killed_at_any_step_it_neither_loses_nor_doubles(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path / "prepared")

    def run(*moments: int) -> str:
        arguments = []
        for moment in moments:
            folder = tmp_path / str(moment)
            shutil.copytree(prepared, folder)
            arguments.append(f"{folder}:{moment}")
        command = [sys.executable, "-m", "tests.killed_taker", *arguments]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return result.stdout

    n_steps = int(run(0))
    assert n_steps > 10
    moments = range(1, n_steps + 1)
    run(*moments)
    for moment in moments:
        config = config_of(tmp_path / str(moment))
        between = ids_of(config)  # whatever the moment, what is there can be read
        assert sorted(between) in (EXPECTED, sorted(f"old{n}" for n in range(6)))
        take_events(config)
        assert sorted(ids_of(config)) == EXPECTED, moment
        store = open_store(config.source)
        assert store.read(START, 10) == []
        store.close()
        assert {path.name for path in config.events.glob("*.parquet")} == set(read_taken(config.events).files)


class Crash(BaseException):
    """What a kill is to a test that can't die."""


_STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=4)),
    st.tuples(st.just("erase"), st.integers(0, 2)),
    st.tuples(st.just("take"), st.integers(1, 25)),
)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    """Gives an empty log of one kind and an empty folder, new ones with each call."""
    if request.param == "sqlite":
        yield lambda: config_of(tmp_path_factory.mktemp("series"))
        return
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:

        def emptied() -> FeedbackConfig:
            server.command("FLUSHALL")
            return FeedbackConfig(source=server.url, events=tmp_path_factory.mktemp("series") / "events")

        yield emptied


@settings(max_examples=40)
@given(steps=st.lists(_STEP, max_size=10))
def test_any_series_of_events_erasures_takes_and_deaths_keeps_each_event_once(
    fresh: Fresh, steps: list[tuple[str, Any]]
) -> None:
    config = fresh()
    store = open_store(config.source)
    expected: dict[str, str] = {}
    known: set[str] = set()
    for step, what in steps:
        if step == "append":
            store.append([event(f"e{number}", f"u{user}") for number, user in what])
            for number, user in what:
                if f"e{number}" not in known:
                    known.add(f"e{number}")
                    expected[f"e{number}"] = f"u{user}"
        elif step == "erase":
            store.erase(f"u{what}")
            expected = {event_id: user for event_id, user in expected.items() if user != f"u{what}"}
        else:
            with pytest.MonkeyPatch.context() as patch:
                _take_until(config, store, what, patch)
    take_events(config)
    assert {row["event_id"]: row["user_id"] for row in rows_of(config)} == expected
    assert len(ids_of(config)) == len(expected)
    store.close()


def _take_until(config: FeedbackConfig, store: EventStore, moment: int, patch: pytest.MonkeyPatch) -> None:
    """Takes until the n-th step, which isn't made; lives where there are fewer."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == moment:
            raise Crash

    def ticking(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **more: Any) -> Any:
            tick()
            return call(*arguments, **more)

        return called

    patch.setattr(feedback, "_CHUNK", 3)
    patch.setattr(feedback, "_PAGE", 2)
    patch.setattr(feedback.os, "fsync", ticking(feedback.os.fsync))
    patch.setattr(feedback.pq, "write_table", ticking(feedback.pq.write_table))
    for name in ("replace", "unlink"):
        patch.setattr(Path, name, ticking(getattr(Path, name)))
    try:
        take_events(config, store=Watched(store, tick))
    except Crash:
        return
