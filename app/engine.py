"""An artifact made ready to serve: opened, its encoder loaded, the probe reproduced."""

import time
from dataclasses import dataclass

import faiss
import numpy as np
import structlog

from models.artifact import ENCODER, Artifact, check_probe
from models.artifact_store import ArtifactStore
from models.encoder import Encoder, EncoderLoader, load_encoder
from models.manifest import FileFacts, Manifest
from models.native.library import PROBLEM
from models.query_encoder import open_query_encoder
from models.recaller import Recaller, UserQuery

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, weakref_slot=True)
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
        return f"{self.artifact.manifest.encoder.fingerprint}:{self.encoder.runtime}"

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
    return warm_engine(store.open(), threads=threads, load=load)


def warm_engine(
    artifact: Artifact, *, threads: int, load: EncoderLoader = load_encoder, beside: Engine | None = None
) -> Engine:
    """Makes an opened artifact ready to serve.

    Args:
        artifact: The artifact.
        threads: Cores that encoding and search may use.
        load: Loads the encoder; tests put their own.
        beside: What serves meanwhile; an encoder that didn't change is taken from it.

    Raises:
        ArtifactMismatchError: Its encoder doesn't reproduce the probe.
        EncoderError: Its encoder doesn't load.
    """
    start = time.perf_counter()
    # A search is one thread's work: FAISS' own threads would fight with the other requests'.
    faiss.omp_set_num_threads(1)
    kept = beside is not None and _encoder_of(artifact.manifest) == _encoder_of(beside.artifact.manifest)
    encoder = beside.encoder if beside and kept else open_query_encoder(artifact, threads=threads, load=load)
    engine = Engine(artifact, encoder, Recaller(artifact))
    cosine = engine.check()
    if PROBLEM is not None:
        _log.warning("native_library_missing", effect="requests take longer", reason=PROBLEM)
    _log.info(
        "artifact_opened",
        artifact_id=engine.artifact_id,
        seconds=round(time.perf_counter() - start, 3),
        query_runtime=encoder.runtime,
        encoder="kept" if kept else "loaded",
        probe_cosine=round(cosine, 6),
    )
    return engine


def _encoder_of(manifest: Manifest) -> tuple[object, dict[str, FileFacts]]:
    """Returns all that decides which encoder is loaded."""
    files = {name: facts for name, facts in manifest.files.items() if name.startswith(f"{ENCODER}/")}
    return manifest.encoder, files
