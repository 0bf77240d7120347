"""recall.toml as a value: typed, closed, frozen. Reads one file and nothing else.

An unknown key is an error that names the key and its nearest match.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class CatalogueConfig(_Section):
    """Where the items are and which columns say what."""

    path: Path = Field(description="File or folder: .jsonl(.gz), .csv, .parquet; relative to recall.toml.")
    id: str = Field("item_id", description="Column of the item id; integers become strings.")
    text: list[str] = Field(min_length=1, description="Text columns, joined in this order and encoded.")
    attributes: list[str] = Field([], description="Columns kept for filters and `with_fields`.")
    max_reject_share: Share = Field(0.01, description="Build fails when more of the rows than this are bad.")


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
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Item-side precision; a lower one is used only where it equals float32 to cosine .9999.",
    )


class IndexConfig(_Section):
    """How the item index is built."""

    kind: Literal["auto", "flat", "hnsw"] = Field("auto", description='"auto": exact up to `exact_up_to` items.')
    exact_up_to: int = Field(50_000, ge=0, description='Items up to which "auto" searches exactly.')
    hnsw_m: int = Field(32, ge=4, description="HNSW links a node.")
    hnsw_ef_construction: int = Field(200, ge=8, description="HNSW effort when building.")
    hnsw_ef_search: int = Field(128, ge=8, description="HNSW effort when searching.")


class LearningConfig(_Section):
    """Whether the matching is learnt from interactions."""

    enabled: bool = Field(False, description="Learn; without it interactions give popularity only.")


class PublishConfig(_Section):
    """Where artifacts go."""

    artifacts: Path = Field(Path("artifacts"), description="Artifacts folder; `--artifacts` on the command line wins.")


class BuildConfig(_Section):
    """The whole of recall.toml; every path is absolute."""

    catalogue: CatalogueConfig
    interactions: InteractionsConfig | None = None
    text: TextConfig = TextConfig()
    encoder: EncoderConfig = EncoderConfig()
    index: IndexConfig = IndexConfig()
    learning: LearningConfig = LearningConfig()
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
    return config.model_copy(
        update={"catalogue": catalogue, "publish": publish, "encoder": encoder, "interactions": interactions}
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
