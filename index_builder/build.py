"""The build, top to bottom: read → encode → fit → index → write → verify → publish → activate. It never gates."""

from index_builder.config import BuildConfig
from index_builder.encode import EncoderPreparer, prepare_encoder
from index_builder.lock import builder_lock
from index_builder.report import BuildReport, Stopwatch
from index_builder.steps import Steps
from models.artifact_store import ArtifactStore
from models.encoder import EncoderLoader, load_encoder


def build(
    config: BuildConfig, *, prepare: EncoderPreparer = prepare_encoder, load: EncoderLoader = load_encoder
) -> BuildReport:
    """Builds an artifact from a catalogue, publishes it and makes it the live one.

    Args:
        config: What to build, and from what.
        prepare: Puts the encoder's files into the artifact; tests put their own.
        load: Loads the encoder's query runtime.

    Raises:
        RecallError: It could not be built; the live artifact is untouched.
    """
    store = ArtifactStore(config.publish.artifacts)
    with builder_lock(store.root):
        store.clean()
        steps = Steps(config, store, prepare=prepare, load=load, watch=Stopwatch())
        inputs = steps.read()
        with store.staging() as folder:
            work = steps.prepare(folder, inputs)
            fitted = work.fit(inputs)
            return work.publish(fitted)
