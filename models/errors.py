"""Every error that this project raises on purpose, in one tree.

RecallError
├── ConfigError              recall.toml or a setting is wrong
├── DataError                a catalogue or interaction file can't be used
├── BuildLockedError         another builder works on the same artifacts folder
├── EncoderError             a model can't be loaded, exported or run
├── StoreUnavailableError    events and profiles can't be reached or written
├── ArtifactError
│   ├── ArtifactMissingError      there is no such artifact, or a file of it is gone
│   ├── ArtifactCorruptError      bytes differ from what the manifest says
│   ├── ArtifactUnsupportedError  written by another format version
│   └── ArtifactMismatchError     facts contradict each other: dimensions, encoder, probe
└── RequestError             the caller can mend it
    ├── InvalidRequestError       a field of the request is wrong
    ├── BodyTooLargeError         the body is over the limit
    ├── UnauthorizedError         no valid API key
    ├── ForbiddenError            not for callers from other machines
    ├── UnknownUserError          nothing is kept of the user
    ├── NoPreviousArtifactError   nothing was live before, so there is no way back
    ├── OverloadedError           too much work is waiting
    └── DeadlineExceededError     `timeout_ms` passed before there was an answer

A message states the fact, both values and the next step. `app.errors` maps each class to an HTTP answer.
"""

from dataclasses import dataclass


class RecallError(Exception):
    """The root: catching it catches everything below."""


class ConfigError(RecallError):
    """recall.toml or a setting is wrong."""


class DataError(RecallError):
    """A catalogue or interaction file can't be used."""


class BuildLockedError(RecallError):
    """Another builder works on the same artifacts folder."""


class EncoderError(RecallError):
    """A model can't be loaded, exported or run."""


class StoreUnavailableError(RecallError):
    """The store of events and profiles can't be reached, or can't write."""


class ArtifactError(RecallError):
    """An artifact can't be served."""


class ArtifactMissingError(ArtifactError):
    """There is no such artifact, or a file of it is gone."""


class ArtifactCorruptError(ArtifactError):
    """Bytes differ from what the manifest says."""


class ArtifactUnsupportedError(ArtifactError):
    """The artifact was written by another format version."""


class ArtifactMismatchError(ArtifactError):
    """Facts of one artifact contradict each other, or the encoder that is run."""


class RequestError(RecallError):
    """The caller can mend it."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One wrong field of a request.

    Attributes:
        field: Dotted path, such as `history.3.weight`; empty for the body itself.
        message: What is wrong and what would be right.
    """

    field: str
    message: str


class InvalidRequestError(RequestError):
    """One or more fields of the request are wrong."""

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__("; ".join(f"{p.field or 'body'}: {p.message}" for p in problems))
        self.problems = problems


class BodyTooLargeError(RequestError):
    """The body is over the limit."""


class UnauthorizedError(RequestError):
    """The request carries no valid API key."""


class ForbiddenError(RequestError):
    """The call is not for callers from other machines."""


class UnknownUserError(RequestError):
    """Nothing is kept of the user."""


class NoPreviousArtifactError(RequestError):
    """Nothing was live before the live artifact, so there is no way back."""


class OverloadedError(RequestError):
    """Too much work is waiting; the caller should come back."""


class DeadlineExceededError(RequestError):
    """`timeout_ms` passed before there was an answer."""
