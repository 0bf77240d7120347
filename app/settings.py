"""Every setting of the service: `RECALL_*` in the environment, read once, typed and closed.

Nothing about the artifact is set here: encoder, dimension, recipe and head are facts of its manifest.
"""

import difflib
import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio.connection import parse_url

from models.errors import ConfigError

PREFIX = "RECALL_"


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ServiceSettings(BaseSettings):
    """The service's settings; each field's upper-case name after `RECALL_` is its variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    artifacts: Path = Field(Path("artifacts"), description="Artifacts folder; its `current` is served.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, description="Service processes; one already uses all cores.")
    threads: int = Field(default_factory=cores, ge=1, description="Cores a process uses for encoding and search.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning, error.")
    api_keys: str = Field("", description="Comma-separated keys; when set, calls need one of them.", repr=False)
    redis_url: str = Field("", description="redis://…; without it vectors are cached in memory only.", repr=False)
    redis_timeout_ms: float = Field(20, gt=0, description="Longest wait for Redis in one request.")
    cache_ttl_seconds: int = Field(7 * 24 * 3600, ge=1, description="How long Redis keeps a text's vector.")
    cache_entries: int = Field(20_000, ge=0, description="Text vectors kept in memory; 0 keeps none.")
    max_waiting_texts: int = Field(4096, ge=1, description="Texts that may wait for the encoder; more get a 503.")

    @field_validator("api_keys")
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
    def accepted_keys(self) -> tuple[str, ...]:
        """The API keys, one by one."""
        return tuple(key.strip() for key in self.api_keys.split(",") if key.strip())


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
