"""Every setting of the service: `RECALL_*` in the environment, read once, typed and closed.

Nothing about the artifact is set here: encoder, dimension, recipe and head are facts of its manifest.
"""

import difflib
import math
import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio.connection import parse_url

from models.errors import ConfigError
from models.profiles import DEFAULT_WEIGHTS

PREFIX = "RECALL_"


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ServiceSettings(BaseSettings):
    """The service's settings; each field's upper-case name after `RECALL_` is its variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    artifacts: Path = Field(Path("artifacts"), description="Artifacts folder; its `current` is served.")
    state: Path = Field(
        Path("state"), description="Folder of the SQLite file with events, profiles, live items; not with Redis."
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, description="Service processes; one already uses all cores.")
    threads: int = Field(default_factory=cores, ge=1, description="Cores a process uses for encoding and search.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning, error.")
    api_keys: str = Field("", description="Comma-separated keys; when set, calls need one of them.", repr=False)
    admin_keys: str = Field(
        "", description="Comma-separated keys for /admin; without any it answers on loopback only.", repr=False
    )
    reload_seconds: float = Field(1.0, gt=0, description="How often a process looks for a new `current`.")
    redis_url: str = Field("", description="redis://…; caches vectors, keeps events, profiles, live items.", repr=False)
    redis_timeout_ms: float = Field(20, gt=0, description="Longest wait for Redis in one request.")
    cache_ttl_seconds: int = Field(7 * 24 * 3600, ge=1, description="How long Redis keeps a text's vector.")
    cache_entries: int = Field(
        20_000, ge=0, description="Text vectors kept in memory, and user vectors of at most 2,000 texts; 0 keeps none."
    )
    max_waiting_texts: int = Field(4096, ge=1, description="Texts that may wait for the encoder; more get a 503.")

    profile_items: int = Field(200, ge=1, description="Items that a user's profile holds; the oldest go.")
    profile_texts: int = Field(8, ge=0, description="Texts that a user's profile holds; the oldest go.")
    profile_ttl_seconds: int = Field(90 * 86_400, ge=1, description="How long a profile outlives the newest event.")
    event_weights: str = Field(
        ",".join(f"{name}={weight:g}" for name, weight in DEFAULT_WEIGHTS.items()),
        description="What event types say in a profile; below 0 against the item. Others are only logged.",
    )
    event_dedupe_seconds: int = Field(86_400, ge=1, description="How long the same event_id counts once.")

    @field_validator("event_weights")
    @classmethod
    def _weights(cls, value: str) -> str:
        _parse_weights(value)
        return value

    @field_validator("api_keys", "admin_keys")
    @classmethod
    def _some_key(cls, value: str) -> str:
        if value and not value.replace(",", "").strip():
            raise ValueError("it holds no key, which would let everybody in; give keys, or leave it out")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: str) -> str:
        if value:
            parse_url(value)
        return value

    @property
    def weights(self) -> dict[str, float]:
        """The weights of event types."""
        return _parse_weights(self.event_weights)

    @property
    def accepted_keys(self) -> tuple[str, ...]:
        """The API keys, one by one."""
        return _keys(self.api_keys)

    @property
    def accepted_admin_keys(self) -> tuple[str, ...]:
        """The admin keys, one by one."""
        return _keys(self.admin_keys)


def _parse_weights(text: str) -> dict[str, float]:
    weights = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name.strip() or not -100 <= weight <= 100:
            raise ValueError(f"no weight can be read in {part!r}; write click=1,purchase=3, from -100 to 100")
        weights[name.strip()] = weight
    return weights


def _keys(value: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in value.split(",") if key.strip())


def load_settings() -> ServiceSettings:
    """Reads the environment.

    Raises:
        ConfigError: A variable has a value that can't be used.
    """
    try:
        return ServiceSettings()
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(dict(problem)) for problem in error.errors())) from None


def unknown_variables() -> list[str]:
    """Returns a warning for each `RECALL_*` variable that no setting reads, with its nearest match."""
    known = [PREFIX + name.upper() for name in ServiceSettings.model_fields]
    warnings = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            warnings.append(f"{name} is no setting of this version" + (f"; did you mean {near[0]}?" if near else ""))
    return warnings


def _explain(problem: dict[str, Any]) -> str:
    name = str(problem["loc"][0])
    # Keys and passwords stay out of logs.
    value = repr(problem["input"]) if ServiceSettings.model_fields[name].repr else "…"
    return f"{PREFIX}{name.upper()}={value}: {problem['msg'].removeprefix('Value error, ')}"
