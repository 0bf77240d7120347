"""The artifacts folder: `<artifact_id>/` directories and `current`, a symbolic link to the live one.

A new artifact is staged beside the live one, made durable and renamed into place; then `current` is replaced in
one step. Whatever moment the writer dies at, `current` names a complete artifact.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from models.activations import read_history, write_history
from models.artifact import MANIFEST, Artifact, FileStamp, open_artifact, read_manifest
from models.errors import ArtifactCorruptError, ArtifactError, ArtifactMissingError, NoPreviousArtifactError
from models.manifest import Manifest

CURRENT = "current"
_STAGING = ".staging-"
_LOCK = ".current.lock"


class ArtifactStore:
    """The artifacts of one folder.

    Args:
        root: The folder; made when the first artifact is staged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def current_id(self) -> str | None:
        """Returns the id of the live artifact, or None before the first.

        Raises:
            ArtifactCorruptError: `current` is no symbolic link, as after a copy that followed it.
        """
        try:
            return (self.root / CURRENT).readlink().name
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtifactCorruptError(
                f"{self.root / CURRENT} is no symbolic link ({error}); delete it and activate an artifact"
            ) from error

    def ids(self) -> list[str]:
        """Returns the ids of the published artifacts, oldest first; damaged ones before all others."""
        folders = [path for path in self.root.glob("[!.]*") if _is_artifact(path)]
        return [folder.name for folder in sorted(folders, key=lambda f: (_created_at(f), f.name))]

    def folder(self, artifact_id: str | None = None) -> Path:
        """Returns the directory of an artifact, by default the live one.

        Raises:
            ArtifactMissingError: There is no such artifact.
        """
        artifact_id = artifact_id or self.current_id()
        if artifact_id is None:
            raise ArtifactMissingError(
                f"{self.root} has no live artifact; build one with `python -m index_builder build recall.toml`"
            )
        folder = self.root / artifact_id
        # `current` activated by that name would point to itself; a name with a dot may be somebody's staging.
        if "/" in artifact_id or artifact_id.startswith(".") or folder.is_symlink() or not folder.is_dir():
            raise ArtifactMissingError(
                f"{self.root} has no artifact {artifact_id!r}; it has {', '.join(self.ids()) or 'none'}"
            )
        return folder

    def open(self, artifact_id: str | None = None, checked: Mapping[FileStamp, str] | None = None) -> Artifact:
        """Opens an artifact, by default the live one.

        Args:
            artifact_id: Which one.
            checked: Files that this process hashed before.

        Raises:
            ArtifactError: It is missing or damaged.
        """
        return open_artifact(self.folder(artifact_id), checked)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yields a directory to write an artifact into; it is gone afterwards unless it was published."""
        self.root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.root))
        folder.chmod(0o755)  # mkdtemp's 0700 would lock out a service that runs as another user
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, staged: Path, manifest: Manifest) -> Path:
        """Makes a staged artifact durable and gives it its name; it isn't live yet."""
        for path in staged.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # the service may run as another user
            _sync(path)
        _sync(staged)
        target = self.root / manifest.artifact_id
        staged.rename(target)
        _sync(self.root)
        return target

    def activate(self, artifact_id: str) -> None:
        """Makes an artifact the live one, in one step, and adds it to the history.

        Raises:
            ArtifactMissingError: There is no such artifact.
        """
        self.folder(artifact_id)
        with self._alone():
            live = self.current_id()
            if artifact_id == live:
                return
            write_history(self.root, read_history(self.root).forward(live, artifact_id), staging=_STAGING)
            self._point_to(artifact_id)

    def previous_id(self) -> str:
        """Returns the artifact that was live before the live one; deleted ones are passed over.

        Raises:
            NoPreviousArtifactError: The history names none that is still there.
        """
        live, ids = self.current_id(), self.ids()
        for artifact_id in read_history(self.root).before(live):
            if artifact_id in ids:
                return artifact_id
        raise NoPreviousArtifactError(
            f"no artifact in {self.root} was live before {live or 'the first'}; it has {', '.join(ids) or 'none'}:"
            " `python -m index_builder activate ID` takes any of them"
        )

    def roll_back(self, artifact_id: str) -> None:
        """Makes the previous artifact the live one and takes what it replaces from the history.

        Args:
            artifact_id: What `previous_id` gave to the caller, who has looked at it since.

        Raises:
            NoPreviousArtifactError: It is not the previous one any more.
        """
        with self._alone():
            if (previous := self.previous_id()) != artifact_id:
                raise NoPreviousArtifactError(
                    f"{artifact_id} was the previous artifact a moment ago, now {previous} is; roll back again"
                )
            self._point_to(artifact_id)
            write_history(self.root, read_history(self.root).back(artifact_id), staging=_STAGING)

    def prune(self, keep: int) -> list[str]:
        """Deletes old artifacts and returns their ids; call it under the builder's lock.

        Args:
            keep: How many of the newest stay; the live and the previous one stay whatever their age.
        """
        with self._alone():
            ids = self.ids()
            kept = {*ids[-keep:], self.current_id()}
            with suppress(NoPreviousArtifactError):
                kept.add(self.previous_id())
            old = [artifact_id for artifact_id in ids if artifact_id not in kept]
            for artifact_id in old:  # renamed first: half of an artifact must not have its name
                (self.root / artifact_id).rename(self.root / f"{_STAGING}deleted-{artifact_id}")
        for artifact_id in old:
            shutil.rmtree(self.root / f"{_STAGING}deleted-{artifact_id}", ignore_errors=True)
        return old

    def oldest_cut(self) -> int:
        """Returns the lowest `live_seq` of the artifacts that are there; 0 where one can't be read."""
        try:
            return min((read_manifest(self.root / artifact_id).live_seq for artifact_id in self.ids()), default=0)
        except ArtifactError:
            return 0

    def clean(self) -> list[str]:
        """Deletes what killed builders left behind and returns the names; call it under the builder's lock."""
        if not self.root.exists():
            return []
        with self._alone():  # a service may just be rolling back
            leftovers = sorted(self.root.glob(f"{_STAGING}*"))
            for path in leftovers:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
        return [path.name for path in leftovers]

    def _point_to(self, artifact_id: str) -> None:
        link = self.root / f"{_STAGING}{CURRENT}"
        link.unlink(missing_ok=True)
        link.symlink_to(artifact_id, target_is_directory=True)
        link.replace(self.root / CURRENT)
        _sync(self.root)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps those apart who change `current` and the history: builders, and services that roll back."""
        descriptor = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _is_artifact(path: Path) -> bool:
    named = re.fullmatch("[0-9a-f]{16}", path.name) is not None
    return path.is_dir() and not path.is_symlink() and (named or (path / MANIFEST).exists())


def _created_at(folder: Path) -> str:
    try:
        return read_manifest(folder).created_at
    except ArtifactError:
        return ""


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
