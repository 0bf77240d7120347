"""The wire: what requests and answers look like, with their limits and examples."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic.json_schema import SkipJsonSchema

MAX_K = 1_000
MAX_BATCH = 100
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_HISTORY = 5_000
MAX_TEXTS = 32


def _integer_to_string(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ItemId = Annotated[str, BeforeValidator(_integer_to_string)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HistoryItem(_Wire):
    """A consumed item with its weight."""

    id: ItemId
    weight: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)


class RecallRequest(_Wire):
    """What is known about a user, and how many candidates are wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "web framework to build HTTP JSON APIs in python", "k": 10, "with_fields": ["title"]},
                {"text": ["older text", "newer text"], "history": ["i7", {"id": "i9", "weight": 0.5}], "k": 100},
            ]
        }
    )

    text: str | list[str] | None = Field(None, description='Written by the user, oldest first; "" counts as absent.')
    history: list[ItemId | HistoryItem] = Field([], description="Consumed items, oldest first.")
    k: int = Field(100, ge=1, le=MAX_K, description="How many candidates.")
    exclude_ids: list[ItemId] = Field([], description="Items that must not be returned.")
    exclude_seen: bool = Field(False, description="Leave out the history.")
    rescore: bool = Field(True, description="Let the relation head re-score the pool.")
    with_fields: list[str] = Field([], description="Catalogue fields to return with each candidate.")
    timeout_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="After it the head is skipped, or the answer is a 504."
    )
    # Of the published interface, but later: only their neutral values are accepted.
    user_id: SkipJsonSchema[Any] = None
    filter: SkipJsonSchema[Any] = None
    diversity: SkipJsonSchema[Any] = 0.0
    explain: SkipJsonSchema[Any] = False

    @field_validator("user_id", "filter", "diversity", "explain")
    @classmethod
    def _not_served_yet(cls, value: object) -> object:
        if value is None or (isinstance(value, bool | int | float) and value == 0):
            return value
        raise ValueError("this version doesn't serve this field yet; leave it out")

    @property
    def texts(self) -> list[str]:
        """The texts as a list, oldest first."""
        return [self.text] if isinstance(self.text, str) else list(self.text or ())

    @property
    def history_items(self) -> list[HistoryItem]:
        """The history with every weight spelt out, oldest first."""
        return [HistoryItem(id=item) if isinstance(item, str) else item for item in self.history]


class BatchRequest(_Wire):
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
    fallback: Literal["popular", "centre"] | None = Field(
        description="Set where nothing known about the user was sent."
    )
    cache: Literal["hit", "partial", "miss", "off"]
    degraded: list[Literal["cache", "text_truncated", "rescore_skipped"]]
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
