"""Takers of events that die by SIGKILL at the n-th thing they do to the folder or to the log.

`python -m tests.killed_taker FOLDER:N …` takes from each FOLDER/state into FOLDER/events in a process of its own,
and prints how many such things were done before the end; N = 0 lets it live.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from index_builder.config import FeedbackConfig
from index_builder.feedback import take_events
from models.event_stores import open_store
from models.events import Event, EventStore, Record, Signals

_FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir"}


class Watched:
    """A store that calls `tick` before and after whatever is done to it."""

    def __init__(self, store: EventStore, tick: Callable[[], None]) -> None:
        self._store, self._tick = store, tick

    def log_id(self) -> str | None:
        return self._store.log_id()

    def append(self, events: Sequence[Event]) -> int:
        return self._store.append(events)

    def read(self, after: str, limit: int) -> list[Record]:
        self._tick()
        return self._store.read(after, limit)

    def trim(self, up_to: str) -> None:
        self._tick()
        self._store.trim(up_to)
        self._tick()

    def signals(self, user_id: str) -> Signals:
        return self._store.signals(user_id)

    def erase(self, user_id: str) -> int:
        return self._store.erase(user_id)

    def close(self) -> None:
        self._store.close()


def watch_files(folder: Path, tick: Callable[[], None]) -> None:
    """Calls `tick` before each thing that is done to a folder; for the rest of the process' life."""

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in _FILE_EVENTS and any(str(folder) in str(argument) for argument in arguments):
            tick()

    sys.addaudithook(watch)


def config_of(folder: Path) -> FeedbackConfig:
    return FeedbackConfig(source=str(folder / "state"), events=folder / "events")


def take_until(folder: Path, moment: int) -> None:
    """Takes, and dies on the way."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    config = config_of(folder)
    watch_files(config.events, tick)
    take_events(config, store=Watched(open_store(config.source), tick))
    os.write(1, f"{count}\n".encode())


def main() -> None:
    """Gives each taker its own process, so that libraries are imported once."""
    for argument in sys.argv[1:]:
        folder, moment = argument.rsplit(":", 1)
        child = os.fork()
        if child == 0:
            take_until(Path(folder), int(moment))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if int(moment) else 0), (argument, status)


if __name__ == "__main__":
    main()
