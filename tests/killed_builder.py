"""Builders that die by SIGKILL at the n-th thing they do to the file system.

`python -m tests.killed_builder RECALL_TOML:N …` builds each in a process of its own with the fake encoder, whose
vectors are new, and prints how many such things were done before the end; N = 0 lets it live.
"""

import os
import signal
import sys
from pathlib import Path

from index_builder.build import build
from index_builder.config import load_config
from tests.fakes import load_fake, prepare_fake
from tests.quick_fits import fit_quickly

FILE_EVENTS = {
    "open",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "shutil.rmtree",
}


def build_until(recall_toml: Path, moment: int) -> None:
    """Builds, and dies on the way."""
    folder, count = str(recall_toml.parent), 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in FILE_EVENTS and any(folder in str(argument) for argument in arguments):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    build(load_config(recall_toml), prepare=prepare_fake(seed=1), load=load_fake)
    os.write(1, f"{count}\n".encode())


def main() -> None:
    """Gives each builder its own process, so that libraries are imported once."""
    fit_quickly()
    for argument in sys.argv[1:]:
        recall_toml, moment = argument.rsplit(":", 1)
        child = os.fork()
        if child == 0:
            build_until(Path(recall_toml), int(moment))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if int(moment) else 0), (argument, status)


if __name__ == "__main__":
    main()
