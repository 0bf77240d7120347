"""Nights that die by SIGKILL at the n-th thing they do to the file system or to the log.

`python -m tests.killed_night RECALL_TOML:N …` runs each in a process of its own with the fake encoder, whose vectors
are new, and prints how many such things were done before the end; N = 0 lets it live. The gate is overruled.
"""

import os
import signal
import sys
from pathlib import Path

from index_builder import nightly as module
from index_builder.config import FeedbackConfig, load_config
from index_builder.feedback import TakeReport, take_events
from models.event_stores import open_store
from tests.fakes import load_fake, prepare_fake
from tests.killed_builder import FILE_EVENTS
from tests.killed_taker import Watched
from tests.quick_fits import fit_quickly


def live_until(recall_toml: Path, moment: int) -> None:
    """Lives through a night, and dies on the way."""
    folder, count = str(recall_toml.parent), 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in FILE_EVENTS and any(folder in str(argument) for argument in arguments):
            tick()

    def take(config: FeedbackConfig) -> TakeReport:
        store = open_store(config.source)
        try:
            return take_events(config, store=Watched(store, tick))
        finally:
            store.close()

    sys.addaudithook(watch)
    module.take_events = take  # type: ignore[assignment]  # the store ticks, too
    module.nightly(load_config(recall_toml), force=True, prepare=prepare_fake(seed=1), load=load_fake)
    os.write(1, f"{count}\n".encode())


def main() -> None:
    """Gives each night its own process, so that libraries are imported once."""
    fit_quickly()
    for argument in sys.argv[1:]:
        recall_toml, moment = argument.rsplit(":", 1)
        child = os.fork()
        if child == 0:
            live_until(Path(recall_toml), int(moment))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if int(moment) else 0), (argument, status)


if __name__ == "__main__":
    main()
