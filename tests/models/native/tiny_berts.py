"""Models that the compiled encoder reads, made on the spot."""

import json
import shutil
from pathlib import Path

from models.encoder import EncoderFacts, Prompts
from tests.tiny_model import MAX_POSITIONS

MODELS = {
    "mean": {"dim": 64},
    "first": {"dim": 64, "pooling_mode": "cls"},
    "wide heads": {"dim": 128},
    "many heads": {"dim": 256, "heads": 8},
    "roberta": {"dim": 64, "kind": "xlm-roberta"},
    "mpnet": {"dim": 64, "kind": "mpnet"},
}


def facts(dim: int, max_tokens: int = MAX_POSITIONS) -> EncoderFacts:
    return EncoderFacts(
        name="tiny",
        revision=None,
        dim=dim,
        max_tokens=max_tokens,
        prompts=Prompts(),
        precision="float32",
        fingerprint="",
        query_runtime="native-int8",
    )


def changed(folder: Path, to: Path, file: str, **fields: object) -> Path:
    copy = Path(shutil.copytree(folder, to / "copy"))
    path = next(copy.rglob(file)) if "/" not in file else copy / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return copy
