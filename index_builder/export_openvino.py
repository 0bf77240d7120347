"""A sentence-transformers model as one OpenVINO graph: token ids in, unit vectors out."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from models.encoder import EncoderFacts, Prompts
from models.encoder_openvino import GRAPH, OpenVINOEncoder
from models.errors import EncoderError
from models.openvino_runtime import ov
from models.tokens import TOKENIZER
from models.types import Matrix

_log = logging.getLogger(__name__)
# Texts on which the graph has to agree with torch: short, long, several scripts.
_CHECKED = ("a", "web framework to build HTTP JSON APIs", "山道を歩くための軽い靴", "much longer " * 150)
_MIN_COSINE = 0.9999


class _Graph(torch.nn.Module):
    def __init__(self, model: SentenceTransformer, dim: int) -> None:
        super().__init__()
        self.model, self.dim = model, dim

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        for module in self.model:
            features = module(features)
        return torch.nn.functional.normalize(features["sentence_embedding"][:, : self.dim], dim=-1)


def export_openvino(model: SentenceTransformer, folder: Path, *, dim: int, prompts: Prompts) -> bool:
    """Writes the model's graph beside its files; returns whether it exists and agrees with torch.

    Args:
        model: On the CPU, in evaluation mode.
        folder: Holds the model's saved files, the fast tokenizer's among them.
        dim: The first so many dimensions are kept.
        prompts: What is put before texts.
    """
    if not (folder / TOKENIZER).exists():
        _log.warning("the model has no fast tokenizer: queries will be encoded by torch")
        return False
    sample = model.tokenizer(["two texts of", "different length"], padding=True, return_tensors="pt")
    inputs = {name: sample[name] for name in ("input_ids", "attention_mask")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of every branch in the model
            graph = ov.convert_model(_Graph(model, dim).eval(), example_input=inputs)
        ov.save_model(graph, folder / GRAPH, compress_to_fp16=False)
        agreement = _agreement(model, folder, dim, prompts)
    except (RuntimeError, TypeError, ValueError, KeyError, EncoderError) as error:
        _log.warning("the model can't be exported to OpenVINO (%s): queries will be encoded by torch", error)
        agreement = 0.0
    if agreement >= _MIN_COSINE:
        return True
    _log.warning("the exported graph has cosine %.4f with torch: queries will be encoded by torch", agreement)
    for path in folder.glob(f"{Path(GRAPH).stem}.*"):
        path.unlink()
    return False


def _agreement(model: SentenceTransformer, folder: Path, dim: int, prompts: Prompts) -> float:
    facts = EncoderFacts(
        name="",
        revision=None,
        dim=dim,
        max_tokens=model.max_seq_length,
        prompts=prompts,
        precision="float32",
        fingerprint="",
        query_runtime="openvino-f32",
    )
    encoder = OpenVINOEncoder(folder, facts, threads=1)

    def lowest_cosine(prompt: str, vectors: Matrix) -> float:
        expected = model.encode(list(_CHECKED), prompt=prompt, convert_to_tensor=True, show_progress_bar=False)
        unit = torch.nn.functional.normalize(expected[:, :dim], dim=-1).numpy()
        return float((unit * vectors).sum(axis=1).min())

    users = np.stack([encoder.encode_user(text)[0] for text in _CHECKED])
    items = encoder.encode_items(_CHECKED, lambda _: None)  # padded, and with the other prompt
    return min(lowest_cosine(prompts.user, users), lowest_cosine(prompts.item, items))
