"""The artifacts folder: `<artifact_id>/` directories and `current`, a symbolic link to the live one.

A new artifact is staged beside the live one, made durable and renamed into place; then `current` is replaced in
one step. Whatever moment the writer dies at, `current` names a complete artifact.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.artifact import MANIFEST, Artifact, open_artifact, read_manifest
from models.errors import ArtifactCorruptError, ArtifactError, ArtifactMissingError
from models.manifest import Manifest

CURRENT = "current"
_STAGING = ".staging-"


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

    def open(self, artifact_id: str | None = None) -> Artifact:
        """Opens an artifact, by default the live one.

        Raises:
            ArtifactError: It is missing or damaged.
        """
        return open_artifact(self.folder(artifact_id))

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
        """Makes an artifact the live one, in one step.

        Raises:
            ArtifactMissingError: There is no such artifact.
        """
        self.folder(artifact_id)
        link = self.root / f"{_STAGING}{CURRENT}"
        link.unlink(missing_ok=True)
        link.symlink_to(artifact_id, target_is_directory=True)
        link.replace(self.root / CURRENT)
        _sync(self.root)

    def clean(self) -> list[str]:
        """Deletes what killed builders left behind and returns the names; call it under the builder's lock."""
        leftovers = sorted(self.root.glob(f"{_STAGING}*"))
        for path in leftovers:
            if path.is_symlink():
                path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)
        return [path.name for path in leftovers]


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
