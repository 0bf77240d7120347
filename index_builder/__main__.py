"""The command line: `python -m index_builder build|demo|list|verify|activate`.

Exit 0 done, 1 failed with one clear line on stderr, 2 bad usage.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from index_builder.build import build as run_build
from index_builder.build import builder_lock
from index_builder.config import load_config
from index_builder.demo import write_demo
from index_builder.verify import verify_artifact
from models.artifact import read_manifest
from models.artifact_store import ArtifactStore
from models.errors import ArtifactError, RecallError

cli = typer.Typer(
    help="Turns a catalogue into an artifact that the recall service opens.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ConfigPath = Annotated[Path, typer.Argument(metavar="recall.toml", help="What to build, and from what.")]
Artifacts = Annotated[Path | None, typer.Option("--artifacts", metavar="DIR", help="Artifacts folder.")]
_DEFAULT = Path("artifacts")


@cli.command()
def build(
    config: ConfigPath,
    artifacts: Artifacts = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")] = None,
) -> None:
    """Reads, indexes, verifies, publishes and activates."""
    if json is not None and not json.parent.is_dir():
        raise typer.BadParameter(f"{json.parent} is no folder", param_hint="--json")
    loaded = load_config(config)
    if artifacts is not None:
        publish = loaded.publish.model_copy(update={"artifacts": artifacts.resolve()})
        loaded = loaded.model_copy(update={"publish": publish})
    report = run_build(loaded)
    for line in report.lines():
        typer.echo(line)
    if json is not None:
        json.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")


@cli.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if missing.")],
    artifacts: Artifacts = None,
    source: Annotated[str, typer.Option(help="auto, debian or small.")] = "auto",
) -> None:
    """Writes the demo's recall.toml and data."""
    if source not in ("auto", "debian", "small"):
        raise typer.BadParameter(f"{source!r} is none of auto, debian, small", param_hint="--source")
    report = write_demo(folder, source=source, artifacts=artifacts)  # type: ignore[arg-type]  # checked above
    for line in report.lines():
        typer.echo(line)


@cli.command("list")
def list_artifacts(artifacts: Artifacts = None) -> None:
    """Lists the artifacts, oldest first; the live one is marked."""
    store = ArtifactStore(artifacts or _DEFAULT)
    table = Table("", "artifact", "created", "items", "index", "encoder", "parent", box=None)
    for artifact_id in store.ids():
        live = "*" if artifact_id == store.current_id() else ""
        try:
            manifest = read_manifest(store.folder(artifact_id))
        except ArtifactError as error:
            table.add_row(live, artifact_id, f"damaged: {error}")
            continue
        index, encoder = manifest.index, manifest.encoder
        cells = (manifest.created_at, str(index.n_items), index.kind, encoder.name, manifest.parent or "-")
        table.add_row(live, artifact_id, *cells)
    # A pipe gets whole lines, however narrow Rich takes it to be.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@cli.command()
def verify(
    artifact_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Default: the live one.")] = None,
    artifacts: Artifacts = None,
) -> None:
    """Checks every file's hash, the probe and the ids of an artifact."""
    artifact = verify_artifact(ArtifactStore(artifacts or _DEFAULT).folder(artifact_id))
    manifest = artifact.manifest
    typer.echo(f"artifact {manifest.artifact_id} is sound: {len(manifest.files)} files, {len(artifact.item_ids)} items")


@cli.command()
def activate(artifact_id: Annotated[str, typer.Argument(metavar="ID")], artifacts: Artifacts = None) -> None:
    """Makes an artifact the live one after verifying it."""
    store = ArtifactStore(artifacts or _DEFAULT)
    verify_artifact(store.folder(artifact_id))
    with builder_lock(store.root):
        store.activate(artifact_id)
    typer.echo(f"artifact {artifact_id} is live in {store.root}")


def main() -> None:
    """Runs the command line; an error of ours, or of the file system, is one line on stderr and exit code 1."""
    try:
        cli()
    except (RecallError, OSError) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
