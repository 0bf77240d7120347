"""The wire of recall: what requests, answers and problems look like; and the limits of every body."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

MAX_K = 1_000
MAX_BATCH = 100
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_HISTORY = 5_000
MAX_TEXTS = 32
MAX_EVENTS = 1_000
MAX_ITEMS = 1_000
_MAX_FIELDS = 100


def _item_id(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and not _is_unicode(value):
        raise ValueError("the id holds half a surrogate pair, which no answer could repeat; send whole characters")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


ItemId = Annotated[str, BeforeValidator(_item_id, json_schema_input_type=str | int)]
# A list stops at its first wrong element: millions of complaints would help nobody and block everybody.
_Strings = Annotated[list[str], Field(fail_fast=True)]
_ItemIds = Annotated[list[ItemId], Field(fail_fast=True)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HistoryItem(_Wire):
    """A consumed item with its weight."""

    id: ItemId
    weight: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)


class Body(_Wire):
    """What every body has in common: few fields, and none that nobody knows."""

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: object) -> object:
        # Each unknown field is a complaint, and a body has room for a million.
        history = value.get("history") if isinstance(value, dict) else None
        parts = [value, *history] if isinstance(history, list) else [value]
        if any(isinstance(part, dict) and len(part) > _MAX_FIELDS for part in parts):
            raise ValueError(f"an object has over {_MAX_FIELDS} fields; there are {', '.join(cls.model_fields)}")
        return value


class RecallRequest(Body):
    """What is known about a user, and how many candidates are wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "web framework to build HTTP JSON APIs in python", "k": 10, "with_fields": ["title"]},
                {
                    "user_id": "u42",
                    "text": ["older text", "newer text"],
                    "history": ["i7", {"id": "i9", "weight": 0.5}],
                    "k": 100,
                },
            ]
        }
    )

    text: str | _Strings | None = Field(None, description='Written by the user, oldest first; "" counts as absent.')
    history: list[ItemId | HistoryItem] = Field([], fail_fast=True, description="Consumed items, oldest first.")
    k: int = Field(100, ge=1, le=MAX_K, description="How many candidates.")
    exclude_ids: _ItemIds = Field([], description="Items that must not be returned.")
    exclude_seen: bool = Field(False, description="Leave out the history and what the profile has seen.")
    rescore: bool = Field(True, description="Let the relation head re-score the pool.")
    with_fields: _Strings = Field([], description="Catalogue fields to return with each candidate.")
    timeout_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="After it the head is skipped, or the answer is a 504."
    )
    user_id: ItemId | None = Field(None, description="Whose profile counts before text and history; never written.")
    # Of the published interface, but later: only their neutral values are accepted.
    filter: SkipJsonSchema[Any] = None
    diversity: SkipJsonSchema[Any] = 0.0
    explain: SkipJsonSchema[Any] = False

    @field_validator("filter", "diversity", "explain")
    @classmethod
    def _not_served_yet(cls, value: object, info: ValidationInfo) -> object:
        # 0 is no filter.
        neutral = (None, 0) if info.field_name in ("diversity", "explain") else (None,)
        if value in neutral:
            return value
        raise ValueError("this version doesn't serve this field yet; leave it out")

    @property
    def texts(self) -> list[str]:
        """The texts as a list, oldest first."""
        return [self.text] if isinstance(self.text, str) else list(self.text or ())

    @property
    def weighted_history(self) -> list[tuple[str, float]]:
        """The history as ids with their weights, oldest first."""
        return [(item, 1.0) if isinstance(item, str) else (item.id, item.weight) for item in self.history]


class BatchRequest(Body):
    """Several requests; each is checked and answered on its own."""

    requests: list[Any] = Field(min_length=1, max_length=MAX_BATCH, description="Bodies as for POST /recall.")


class CandidateOut(BaseModel):
    """One candidate; scores order one answer and are not comparable across requests or artifacts."""

    id: str
    score: float = Field(description="What the answer is sorted by; bigger is better.")
    recall_score: float = Field(description="Inner product in the index.")
    relation_score: float | None = Field(description="The relation head's output; null where it didn't act.")
    fields: dict[str, Any] | None = Field(None, description="Only with `with_fields`.")


class Timings(BaseModel):
    """Milliseconds by stage."""

    encode: float
    search: float
    rescore: float
    total: float


class RecallAnswer(BaseModel):
    """min(k, eligible items) candidates, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "9f0c",
                    "artifact_id": "5b1e8c0f2a7d4e36",
                    "candidates": [{"id": "i3", "score": 0.81, "recall_score": 0.74, "relation_score": 0.81}],
                    "missing_ids": [],
                    "fallback": None,
                    "cache": "miss",
                    "degraded": [],
                    "timings_ms": {"encode": 4.1, "search": 0.4, "rescore": 0.2, "total": 4.9},
                }
            ]
        }
    )

    request_id: str
    artifact_id: str
    candidates: list[CandidateOut]
    missing_ids: list[str] = Field(description="History or exclude ids that the catalogue doesn't know.")
    # Always there; its default is for the example, from which FastAPI drops every null.
    fallback: Literal["popular", "centre"] | None = Field(
        None, description="Set where nothing known about the user was sent."
    )
    cache: Literal["hit", "partial", "miss", "off"]
    degraded: list[Literal["profile", "cache", "text_truncated", "rescore_skipped"]]
    timings_ms: Timings


class FieldProblemOut(BaseModel):
    """One wrong field."""

    field: str
    message: str


class Problem(BaseModel):
    """An error as application/problem+json (RFC 9457); `type` is a word to program against."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblemOut] | None = None


class BatchError(BaseModel):
    """What stands in the place of a request that was wrong."""

    error: Problem


class BatchAnswer(BaseModel):
    """Answers in the order of the requests."""

    responses: list[RecallAnswer | BatchError]
