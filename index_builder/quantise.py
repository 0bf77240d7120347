"""The encoder's graph in int8, made by nncf: weights alone, or weights and activations after a calibration."""

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from models.disk import writing
from models.encoder import EncoderFacts, QueryRuntime
from models.encoder_openvino import GRAPH, GRAPH_RUNTIMES
from models.graph_inputs import graph_inputs
from models.openvino_runtime import CORE, ov
from models.tokens import load_tokenizer

_log = logging.getLogger(__name__)


def quantise(folder: Path, runtimes: Iterable[QueryRuntime], *, texts: Sequence[str], facts: EncoderFacts) -> None:
    """Writes the int8 graphs that these runtimes need beside the encoder's own.

    A model that nncf can't quantise gets none: what would run it then says that its graph is missing.

    Args:
        folder: The encoder's files.
        runtimes: Those that need no int8 graph are passed over.
        texts: Clean texts of users and items, for the calibration.
        facts: The encoder's description.

    Raises:
        OSError: A graph can't be written.
    """
    for runtime in runtimes:
        target = folder / GRAPH_RUNTIMES[runtime].graph if runtime in GRAPH_RUNTIMES else folder / GRAPH
        if target.name == GRAPH:
            continue
        for path in (target, target.with_suffix(".bin")):
            path.unlink(missing_ok=True)  # it may be a hard link to the parent's
        try:
            with _quiet():
                weights_only = runtime == "openvino-int8-weights"
                graph = _with_int8_weights(folder) if weights_only else _in_int8(folder, texts, facts)
        except Exception as error:  # each kind of model fails in its own way
            _log.warning("there is no %s: nncf can't quantise the model (%s)", runtime, error)
        else:
            with writing(folder):
                ov.save_model(graph, target, compress_to_fp16=False)


def _with_int8_weights(folder: Path) -> Any:  # noqa: ANN401  # openvino ships no types
    import nncf

    return nncf.compress_weights(_read(folder), mode=nncf.CompressWeightsMode.INT8_SYM)


def _in_int8(folder: Path, texts: Sequence[str], facts: EncoderFacts) -> Any:  # noqa: ANN401  # openvino ships no types
    import nncf

    tokenizer = load_tokenizer(folder, facts.max_tokens)
    sample = [graph_inputs([tokenizer.encode(facts.prompts.user + text).ids], facts.max_tokens) for text in texts]
    return nncf.quantize(
        _read(folder),
        nncf.Dataset(sample),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(sample),
    )


def is_quantised(file: str) -> bool:
    """Returns whether an artifact's file belongs to one of these graphs, which only the choice of a runtime makes."""
    return Path(file).stem in {Path(runtime.graph).stem for runtime in GRAPH_RUNTIMES.values()} - {Path(GRAPH).stem}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps nncf's tables and bars to itself: its logger's level leaves them."""
    # A torch with CUDA in it warns on machines without a GPU, where nothing is lost.
    for noisy in ("nncf", "torch.utils.cpp_extension"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()):
        yield


def _read(folder: Path) -> Any:  # noqa: ANN401  # openvino ships no types
    return CORE.read_model(folder / GRAPH)
