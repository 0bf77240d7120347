"""Debian's or Ubuntu's package index as two text files, fetched through apt as an ordinary user.

The machine's own sources are asked, but nothing of its apt state is touched: lists and caches lie in a
private folder. Knows how apt is called, and nothing of what the index says.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import DataError

_APT_HELPER: Final = "/usr/lib/apt/apt-helper"  # apt's own reader of its compressed lists; never on the PATH
_UPDATE_SECONDS: Final = 240.0
_READ_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class AptIndex:
    """What apt wrote.

    Attributes:
        packages: Every available package once, as deb822 stanzas.
        translations: Long English descriptions, as deb822 stanzas keyed by Description-md5.
        last_error: apt's last error or warning while updating; empty when it had none.
    """

    packages: Path
    translations: Path
    last_error: str


def download_index(folder: Path) -> AptIndex:
    """Fetches the package lists of the machine's own sources into a private folder.

    A source that fails (a third party's, say) is no failure as long as another one answered.

    Args:
        folder: An existing folder; apt's state and cache and the two files are put there.

    Raises:
        DataError: There is no apt, it ran out of time, or it gave no package list or no descriptions.
    """
    if shutil.which("apt-get") is None or shutil.which("apt-cache") is None:
        raise DataError("there is no apt-get on this machine")
    lists = folder / "state" / "lists"
    (lists / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options = _options(folder)
    log = folder / "update.log"
    _run(["apt-get", *options, "-q", "update"], log, seconds=_UPDATE_SECONDS, may_fail=True)
    last_error = _last_error(_errors_of(log))
    if not any(lists.glob("*_Packages*")):
        raise DataError(f"`apt-get update` gave no package list: {last_error or 'it has no sources'}")
    descriptions = sorted(str(path) for path in lists.glob("*_Translation-en*"))
    if not descriptions:
        raise DataError(f"`apt-get update` gave no English descriptions: {last_error or 'none are offered'}")
    index = AptIndex(folder / "packages.txt", folder / "translations.txt", last_error)
    _run(["apt-cache", *options, "dumpavail"], index.packages, seconds=_READ_SECONDS)
    _run([_APT_HELPER, *options, "cat-file", *descriptions], index.translations, seconds=_READ_SECONDS)
    return index


def _options(folder: Path) -> list[str]:
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::lists": folder / "state" / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "en",
        "APT::Sandbox::User": "",  # an ordinary user can't change to apt's own
        "Acquire::http::Timeout": 20,
        "Acquire::https::Timeout": 20,
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def _run(command: list[str], output: Path, *, seconds: float, may_fail: bool = False) -> None:
    name = Path(command[0]).name
    # Files, not pipes: apt's download methods outlive a killed apt-get for a moment and would hold a pipe open.
    with output.open("wb") as out, _errors_of(output).open("wb") as errors:
        try:
            done = subprocess.run(  # noqa: S603  # fixed commands, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                timeout=seconds,
                check=False,
                env={**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"`{name}` gave no answer within {seconds:g} s") from None
        except OSError as error:
            raise DataError(f"`{name}` can't be run: {error}") from error
    if done.returncode != 0 and not may_fail:
        reason = _last_error(_errors_of(output)) or "no reason given"
        raise DataError(f"`{name}` failed with status {done.returncode}: {reason}")


def _errors_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.errors")


def _last_error(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    for prefix in ("E:", "W:", ""):
        found = [line for line in lines if line and line.startswith(prefix)]
        if found:
            return found[-1]
    return ""
