"""An artifact made ready to serve: opened, its encoder loaded, the probe reproduced."""

import time
from dataclasses import dataclass

import faiss
import numpy as np
import structlog

from models.artifact import Artifact, check_probe
from models.artifact_store import ArtifactStore
from models.encoder import Encoder, EncoderLoader, load_encoder
from models.recaller import Recaller, UserQuery

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """What answers come from.

    Attributes:
        artifact: The opened artifact.
        encoder: Its encoder's query runtime.
        recaller: Finds candidates in it.
    """

    artifact: Artifact
    encoder: Encoder
    recaller: Recaller

    @property
    def artifact_id(self) -> str:
        """The artifact's identity."""
        return self.artifact.manifest.artifact_id

    @property
    def namespace(self) -> str:
        """What a text's vector depends on beside the text."""
        encoder = self.artifact.manifest.encoder
        return f"{encoder.fingerprint}:{encoder.query_runtime}"

    def check(self) -> float:
        """Encodes the probe and searches with it, as a request would; returns its cosine with the stored vector.

        Raises:
            ArtifactMismatchError: The encoder doesn't reproduce the probe.
        """
        cosine = check_probe(self.encoder, self.artifact.manifest)
        text = self.artifact.manifest.text_recipe.clean(self.artifact.manifest.probe.text)
        vector, _ = self.encoder.encode_user(text)
        none = np.empty(0, np.int64)
        texts = self.artifact.text_vectors(vector[None], [text])
        self.recaller.recall(UserQuery(texts, none, np.empty(0, np.float32), none, k=1))
        return cosine


def open_engine(store: ArtifactStore, *, threads: int, load: EncoderLoader = load_encoder) -> Engine:
    """Opens the live artifact and warms it.

    Args:
        store: The artifacts folder.
        threads: Cores that encoding and search may use.
        load: Loads the encoder; tests put their own.

    Raises:
        ArtifactError: It is missing, damaged, or its encoder doesn't reproduce the probe.
        EncoderError: Its encoder doesn't load.
    """
    start = time.perf_counter()
    # A search is one thread's work: FAISS' own threads would fight with the other requests'.
    faiss.omp_set_num_threads(1)
    artifact = store.open()
    encoder = load(artifact.encoder_folder, artifact.manifest.encoder, threads)
    engine = Engine(artifact, encoder, Recaller(artifact))
    cosine = engine.check()
    seconds = round(time.perf_counter() - start, 3)
    _log.info("artifact_opened", artifact_id=engine.artifact_id, seconds=seconds, probe_cosine=round(cosine, 6))
    return engine
