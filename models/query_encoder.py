"""The encoder as it answers queries on this machine: the first of the manifest's runtimes that works here."""

import logging

from models.artifact import Artifact, check_probe
from models.encoder import Encoder, EncoderLoader, load_encoder
from models.errors import ArtifactMismatchError, EncoderError

_log = logging.getLogger(__name__)


def open_query_encoder(artifact: Artifact, *, threads: int, load: EncoderLoader = load_encoder) -> Encoder:
    """Loads the artifact's query runtime, or the first of its fallbacks that loads and reproduces the probe.

    Args:
        artifact: Its manifest says what to try, in which order.
        threads: Cores that it may use.
        load: Loads one runtime; tests put their own.

    Raises:
        EncoderError: The last of them doesn't load.
        ArtifactMismatchError: The last of them doesn't reproduce the probe.
    """
    facts = artifact.manifest.encoder
    runtimes = [facts.query_runtime, *facts.fallbacks]
    for number, runtime in enumerate(runtimes):
        try:
            encoder = load(artifact.encoder_folder, facts.run_by(runtime), threads)
            check_probe(encoder, artifact.manifest)
        except (EncoderError, ArtifactMismatchError) as error:
            if number + 1 == len(runtimes):
                raise
            _log.warning("queries are encoded by %s instead of %s: %s", runtimes[number + 1], runtime, error)
        else:
            return encoder
    raise AssertionError("there is always a last runtime")
