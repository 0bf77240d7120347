"""What an artifact was made from, as a hash: a night whose inputs hash to the live artifact's has nothing to do."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version

import orjson

from index_builder.config import BuildConfig
from index_builder.event_times import TimeKind
from index_builder.inputs import Inputs
from models.encoder import EncoderFacts
from models.manifest import InputFacts
from models.training.interactions import Interactions

# Where the tables are, how their rows are read (the rows show it), and what happens to a finished artifact.
_NOT_OF_THE_ARTIFACT: dict[str, bool | set[str]] = {
    "catalogue": {"path", "id", "attributes", "max_reject_share"},
    "interactions": True,
    "feedback": True,
    "gate": True,
    "publish": True,
}


def input_facts(inputs: Inputs, config: BuildConfig, encoder: EncoderFacts) -> InputFacts:
    """Returns the description of the inputs.

    The hash covers every item with its text and fields, every interaction, both in the order of the tables, the
    encoder's fingerprint, the settings that change an artifact, and this project's version.

    Args:
        inputs: As read.
        config: How they are turned into an artifact.
        encoder: What encodes them.
    """
    digest = hashlib.sha256()
    for part in _parts(inputs, config, encoder):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    known = inputs.interactions
    comparable = known is not None and known.times is not None and inputs.time_kind is not TimeKind.TEXT
    return InputFacts(
        digest=digest.hexdigest(),
        n_interactions=0 if known is None else len(known),
        newest=float(known.times.max()) if comparable and known is not None and known.times is not None else None,
    )


def _parts(inputs: Inputs, config: BuildConfig, encoder: EncoderFacts) -> Iterable[bytes]:
    settings = config.model_dump(mode="json", exclude=_NOT_OF_THE_ARTIFACT)
    yield orjson.dumps([version("text-recall"), encoder.fingerprint, settings], option=orjson.OPT_SORT_KEYS)
    for item in inputs.catalogue.items:
        yield orjson.dumps([item.id, item.text, item.fields], option=orjson.OPT_SORT_KEYS)
    if inputs.interactions is not None:
        yield from _columns(inputs.interactions)


def _columns(interactions: Interactions) -> Iterable[bytes]:
    yield interactions.users.tobytes()
    yield orjson.dumps(interactions.user_ids)
    yield interactions.items.tobytes()
    yield b"" if interactions.times is None else interactions.times.tobytes()
    yield orjson.dumps(interactions.texts)
