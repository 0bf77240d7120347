"""The command line: `python -m index_builder build|nightly|evaluate|demo|list|verify|activate|rollback`.

Exit 0 done, 1 failed with one clear line on stderr, 2 bad usage.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from index_builder.build import build as run_build
from index_builder.config import BuildConfig, load_config
from index_builder.demo import write_demo
from index_builder.lock import builder_lock
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
    _check_folder(json, "--json")
    report = run_build(_load(config, artifacts))
    for line in report.lines():
        typer.echo(line)
    if json is not None:
        json.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")


@cli.command()
def evaluate(
    config: ConfigPath,
    artifacts: Artifacts = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures as JSON.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.")] = None,
) -> None:
    """Learns on the past, judges on the future, beside every baseline; publishes nothing."""
    # Plots and baselines take a second to import, which the other commands needn't wait for.
    from index_builder.evaluate import evaluate as run_evaluation
    from index_builder.evaluation_page import comparison_line, render_page, tables

    _check_folder(json, "--json")
    _check_folder(html, "--html")
    evaluation = run_evaluation(_load(config, artifacts))
    for warning in evaluation.warnings:
        typer.echo(f"warning: {warning}")
    for table in tables(evaluation):
        Console(width=None if sys.stdout.isatty() else 200).print(table)
    for comparison in evaluation.comparisons:
        typer.echo(comparison_line(comparison))
    if json is not None:
        json.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if html is not None:
        html.write_text(render_page(evaluation, title=f"Evaluation of {config.resolve()}"), encoding="utf-8")


@cli.command()
def nightly(
    config: ConfigPath,
    artifacts: Artifacts = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the gate's page.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Publish what the gate refuses.")] = False,
) -> None:
    """Rebuilds from the news; publishes only what is not worse than the live artifact."""
    # As for `evaluate`.
    from index_builder.evaluation_page import render_gate_page
    from index_builder.nightly import nightly as run_nightly

    _check_folder(json, "--json")
    _check_folder(html, "--html")
    night = run_nightly(_load(config, artifacts), force=force)
    verdict = night.report.gate
    for line in night.report.lines():
        typer.echo(line)
    if json is not None:
        json.write_text(night.report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if html is not None and verdict is not None:
        page = render_gate_page(verdict, night.evaluation, title=f"Gate of {config.resolve()}")
        html.write_text(page, encoding="utf-8")
    if night.report.outcome == "refused" and verdict is not None:
        typer.echo(f"error: {verdict.line()}", err=True)
        raise typer.Exit(1)


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


@cli.command()
def rollback(artifacts: Artifacts = None) -> None:
    """Makes the artifact live that was live before; again, the one before that."""
    store = ArtifactStore(artifacts or _DEFAULT)
    live, previous = store.current_id(), store.previous_id()
    store.open(previous)  # its files are hashed; its encoder was proven when it was published
    store.roll_back(previous)
    typer.echo(f"artifact {previous} is live in {store.root} again, instead of {live}")


def _check_folder(file: Path | None, option: str) -> None:
    if file is not None and not file.parent.is_dir():
        raise typer.BadParameter(f"{file.parent} is no folder", param_hint=option)


def _load(path: Path, artifacts: Path | None) -> BuildConfig:
    """Returns recall.toml's values; an artifacts folder of the command line wins."""
    config = load_config(path)
    if artifacts is None:
        return config
    publish = config.publish.model_copy(update={"artifacts": artifacts.resolve()})
    return config.model_copy(update={"publish": publish})


def main() -> None:
    """Runs the command line; an error of ours, or of the file system, is one line on stderr and exit code 1."""
    try:
        cli()
    except (RecallError, OSError) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
