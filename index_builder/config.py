"""recall.toml as a value: typed, closed, frozen. Reads one file and nothing else.

An unknown key is an error that names the key and its nearest match.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.encoder import QueryRuntime
from models.errors import ConfigError
from models.event_stores import is_redis
from models.profiles import DEFAULT_WEIGHTS

Share = Annotated[float, Field(ge=0, le=1)]
AskedRuntime = Literal["auto"] | QueryRuntime


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class CatalogueConfig(_Section):
    """Where the items are and which columns say what."""

    path: Path = Field(description="File or folder: .jsonl(.gz), .csv, .parquet; relative to recall.toml.")
    id: str = Field("item_id", description="Column of the item id; integers become strings.")
    text: list[str] = Field(min_length=1, description="Text columns, joined in this order and encoded.")
    attributes: list[str] = Field([], description="Columns kept for filters and `with_fields`.")
    time: str | None = Field(
        None, min_length=1, description="When the item came to be: what its age is worth is learnt, if anything."
    )
    max_reject_share: Share = Field(0.01, description="Build fails when more of the rows than this are bad.")

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that are kept with each item, each once."""
        return tuple(dict.fromkeys([*self.text, *self.attributes, *([self.time] if self.time else [])]))


class InteractionsConfig(_Section):
    """Where the interactions are and which columns say what."""

    path: Path = Field(description="File or folder, formats as for the catalogue.")
    user: str = Field("user_id", description="Column of the user id.")
    item: str = Field("item_id", description="Column of the item id.")
    time: str | None = Field(None, description="Any sortable column; without it the rows are unordered.")
    text: str | None = Field(None, description="What the user wrote with this interaction.")
    rating: str | None = Field(None, description="Column of a rating.")
    min_rating: float | None = Field(None, description="Rows rated below are not positives.")
    max_reject_share: Share = Field(0.01, description="Build fails when more of the rows than this are bad.")

    @model_validator(mode="after")
    def _rating_column(self) -> "InteractionsConfig":
        if self.min_rating is not None and self.rating is None:
            raise ValueError('min_rating is set but no rating column; add rating = "<column>"')
        return self


class FeedbackConfig(_Section):
    """Where the service's events come from, where they are kept, and what they say."""

    source: str = Field(description="redis://…, or the service's RECALL_STATE folder.", repr=False)
    events: Path = Field(Path("events"), description="Folder of the daily Parquet files.")
    weights: dict[str, Annotated[float, Field(ge=-100, le=100)]] = Field(
        dict(DEFAULT_WEIGHTS), description="By event type: above 0 a positive, below 0 takes positives back."
    )


class TextConfig(_Section):
    """Switches of the text recipe."""

    strip_punctuation: bool = Field(False, description="Drop punctuation before encoding.")
    stop_words: str | None = Field(None, description='Language whose stop words are dropped, such as "en".')


class EncoderConfig(_Section):
    """Which sentence-transformers model turns text into vectors, and how."""

    model: str = Field("all-MiniLM-L6-v2", description="Packaged default; else a folder or a hub id.")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field("auto", description="Where items are encoded.")
    user_prompt: str | None = Field(None, description="Put before user texts; default: the model's own query prompt.")
    item_prompt: str | None = Field(
        None, description="Put before item texts; default: the model's own document prompt."
    )
    truncate_dim: int | None = Field(None, ge=1, description="Keep the first so many dimensions.")
    max_seq_length: int | None = Field(None, ge=4, description="Tokens read of a text; default: the model's own.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Item-side precision; a lower one is used only where it equals float32 to cosine .9999.",
    )
    query_runtime: AskedRuntime = Field(
        "auto", description='What serves queries, if its candidates stay the same; "auto": the fastest here.'
    )
    finetune: Literal["off", "last_layers", "full", "lora"] = Field(
        "off", description="Which weights interactions may change before anything is encoded."
    )
    finetune_epochs: float = Field(1.0, gt=0, description="Passes over the pairs, at most.")
    finetune_max_steps: int = Field(500, ge=1, description="Batches, at most.")
    finetune_batch: int = Field(64, ge=2, description="Pairs of a batch, each other's negatives.")
    finetune_learning_rate: float | None = Field(None, gt=0, description="Default: 1e-4, 2e-5, 2e-4 by kind.")
    finetune_layers: int = Field(3, ge=1, description='Last layers that "last_layers" changes.')
    finetune_negatives: int = Field(0, ge=0, le=10, description="Hard negatives mined for each pair.")
    finetune_max_tokens: int = Field(64, ge=4, description="Tokens read of a text while fine-tuning.")


class IndexConfig(_Section):
    """How the item index is built."""

    kind: Literal["auto", "flat", "reduced", "hnsw"] = Field(
        "auto",
        description='"auto": "hnsw" above `exact_up_to` items, below it "reduced" where that reads less and finds.',
    )
    exact_up_to: int = Field(50_000, ge=0, description='Items up to which "auto" takes no graph.')
    reduced_rank: int = Field(128, ge=1, description="Principal components that a reduced index scans.")
    hnsw_m: int = Field(32, ge=4, description="HNSW links a node.")
    hnsw_ef_construction: int = Field(200, ge=8, description="HNSW effort when building.")
    hnsw_ef_search: int = Field(128, ge=8, description="HNSW effort when searching.")


class LearningConfig(_Section):
    """Whether the matching is learnt from interactions."""

    enabled: bool = Field(True, description="Learn; without it interactions give popularity only.")
    popularity: float = Field(
        0.0, ge=-2, le=2, description="Added to the weight of popularity; below 0 rarer items come up."
    )


class PublishConfig(_Section):
    """Where artifacts go, and how many stay."""

    artifacts: Path = Field(Path("artifacts"), description="Artifacts folder; `--artifacts` on the command line wins.")
    keep: int = Field(5, ge=1, description="Newest artifacts that stay; the live and the previous one always do.")


class GateConfig(_Section):
    """What a nightly rebuild may lose against the live artifact; shares are of the live artifact's figure."""

    k: Literal[10, 20, 50, 100] = Field(50, description="Candidates that recall and coverage are measured at.")
    min_cases: int = Field(
        200, ge=1, description="Cases of a task below which recall and coverage aren't compared, and the gate says so."
    )
    recall_tolerance: Share = Field(
        0.05, description="Share of recall that may be lost; more fails where the loss is beyond chance."
    )
    validation_tolerance: Share = Field(
        0.15, description="Share that validation recall may be below the live artifact's own, chance aside."
    )
    coverage_tolerance: Share = Field(0.2, description="Share of coverage that may be lost.")
    ann_recall_min: Share = Field(0.95, description="ann_recall@100 that the index has to reach.")
    latency_tolerance: float = Field(
        0.5, ge=0, description="Share by which the CPU time of search and rescore may grow."
    )
    latency_slack_ms: float = Field(2.0, ge=0, description="Growth in ms that never fails, whatever its share.")
    max_items_drop: Share = Field(0.2, description="Share of the items that may be gone.")
    max_interactions_drop: Share = Field(0.2, description="Share of the interactions that may be gone.")
    max_pairs_gone: Share = Field(
        0.2, description="Share of the user-item pairs of the live artifact, of a sample, that may be gone."
    )
    max_texts_changed: Share = Field(0.5, description="Share of the items in both whose text may be another.")


class BuildConfig(_Section):
    """The whole of recall.toml; every path is absolute."""

    catalogue: CatalogueConfig
    interactions: InteractionsConfig | None = None
    feedback: FeedbackConfig | None = None
    text: TextConfig = TextConfig()
    encoder: EncoderConfig = EncoderConfig()
    index: IndexConfig = IndexConfig()
    learning: LearningConfig = LearningConfig()
    gate: GateConfig = GateConfig()
    publish: PublishConfig = PublishConfig()


def load_config(path: Path) -> BuildConfig:
    """Reads recall.toml and makes its paths absolute.

    Args:
        path: The file; relative paths inside it are relative to its folder.

    Raises:
        ConfigError: The file is missing, is no TOML, or a key is unknown, missing or of the wrong type.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist; `python -m index_builder demo DIR` writes one to start from"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path} can't be read as TOML: {error}") from error
    try:
        config = BuildConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(_explain(dict(e)) for e in error.errors())) from None
    return _absolute(config, path.resolve().parent)


def _absolute(config: BuildConfig, base: Path) -> BuildConfig:
    catalogue = config.catalogue.model_copy(update={"path": base / config.catalogue.path})
    publish = config.publish.model_copy(update={"artifacts": base / config.publish.artifacts})
    encoder = config.encoder
    if (base / encoder.model).is_dir():
        encoder = encoder.model_copy(update={"model": str(base / encoder.model)})
    interactions = config.interactions
    if interactions is not None:
        interactions = interactions.model_copy(update={"path": base / interactions.path})
    feedback = config.feedback
    if feedback is not None:
        source = feedback.source if is_redis(feedback.source) else str(base / feedback.source)
        feedback = feedback.model_copy(update={"source": source, "events": base / feedback.events})
    return config.model_copy(
        update={
            "catalogue": catalogue,
            "publish": publish,
            "encoder": encoder,
            "interactions": interactions,
            "feedback": feedback,
        }
    )


def _explain(error: dict[str, object]) -> str:
    location = [str(part) for part in error["loc"]]  # type: ignore[attr-defined]  # pydantic's loc is a tuple
    where = ".".join(location)
    if error["type"] != "extra_forbidden":
        return f"{where}: {str(error['msg']).removeprefix('Value error, ')}"
    known = _keys(location[:-1])
    near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"unknown key {where!r}; {hint}"


def _keys(section: list[str]) -> list[str]:
    fields = BuildConfig.model_fields
    if not section:
        return list(fields)
    annotation = fields[section[0]].annotation
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return list(candidate.model_fields)
    return []
