"""The encoder's fine-tuned copy: made of past interactions, kept beside the artifacts, continued where it was killed.

The copy is a model folder like any other: what exports and serves it knows nothing of how it came about.
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import orjson

from index_builder.config import EncoderConfig
from index_builder.encode import torch_device
from index_builder.encoder_source import ModelSource, find_model, load_source, prompts_of
from index_builder.inputs import Inputs
from index_builder.progress import progress
from index_builder.user_texts import clean_texts
from models.artifact import Artifact
from models.disk import writing
from models.encoder import Precision
from models.errors import ConfigError, DataError
from models.text import TextRecipe
from models.training.finetune_pairs import PairSet, make_pairs
from models.training.interactions import Interactions
from models.training.split import select, split

FOLDER = ".finetuned"
_KEPT = 3  # copies, the newest; the live artifact's stays too
_CHECKPOINTS = "checkpoints"
_SEED = 0
_PACKAGES = ("accelerate", "datasets")
_LEARNING_RATES = {"last_layers": 1e-4, "full": 2e-5, "lora": 2e-4}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be encoded with.

    Attributes:
        config: Names the fine-tuned copy as its model; as it was where nothing is fine-tuned.
        counts: Pairs and steps, for the report.
        warnings: Why nothing was fine-tuned, where it was asked for.
    """

    config: EncoderConfig
    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def finetuned(
    config: EncoderConfig,
    recipe: TextRecipe,
    inputs: Inputs,
    root: Path,
    *,
    live: Artifact | None = None,
    keep_live: bool = False,
) -> Prepared:
    """Returns the encoder's section with the fine-tuned copy as its model.

    What a fit on the same interactions holds out for validation is no pair: its figures stay honest.

    Args:
        config: As in recall.toml.
        recipe: How texts are cleaned.
        inputs: Catalogue, and the interactions to learn from.
        root: The artifacts folder, where copies are kept.
        live: The live artifact; its copy is never deleted.
        keep_live: Use the live artifact's copy while model and settings are the same, and learn from nothing that came
            after its interactions: a gate compares the two.

    Raises:
        ConfigError: Packages are missing.
        EncoderError: The model can't be found, loaded or opened for training.
    """
    if config.finetune == "off":
        return Prepared(config)
    _check_packages(config.finetune)
    source = find_model(config.model)
    cache = _Cache(root, source, config, recipe, live)
    if keep_live and (copy := cache.of_live()) is not None:
        return Prepared(_with(config, copy), {"reused": 1})
    interactions = inputs.interactions
    if interactions is not None and keep_live and live is not None and live.manifest.inputs is not None:
        interactions = _until(interactions, live.manifest.inputs.newest)
    if interactions is None:
        return Prepared(config, warnings=[_nothing(config, "there are no interactions")])
    item_texts = [item.text for item in inputs.catalogue.items]
    try:
        past = split(interactions, seed=_SEED).past
        pairs = make_pairs(past, item_texts, clean_texts(past, recipe), seed=_SEED)
        copy, n_steps = cache.get(pairs)
    except DataError as error:
        return Prepared(config, warnings=[_nothing(config, str(error))])
    return Prepared(_with(config, copy), {"pairs": len(pairs), "steps": n_steps, "reused": int(not n_steps)})


class _Cache:
    def __init__(
        self, root: Path, source: ModelSource, config: EncoderConfig, recipe: TextRecipe, live: Artifact | None
    ) -> None:
        self._folder, self._source, self._config, self._recipe = root / FOLDER, source, config, recipe
        self._live = None if live is None else live.manifest.encoder.fingerprint
        settings = config.model_dump(exclude={"device", "dtype", "query_runtime", "truncate_dim"})
        self._base = _hash([dict(source.files), settings, recipe.model_dump(mode="json")])

    def of_live(self) -> Path | None:
        """Returns the copy that the live artifact was built with, if it was made with the same model and settings."""
        copies = (path / self._name for path in self._folder.glob(f"{self._base}-*"))
        return next((copy for copy in copies if self._is_live(copy)), None)

    def get(self, pairs: PairSet) -> tuple[Path, int]:
        """Returns the copy that these pairs give, and the steps that it took now."""
        folder = self._folder / f"{self._base}-{_hash(pairs.digest())}"
        copy, n_steps = folder / self._name, 0
        if not copy.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            n_steps = self._make(copy, pairs)
        os.utime(folder)
        self._tidy()
        return copy, n_steps

    def _make(self, copy: Path, pairs: PairSet) -> int:
        """Writes the copy; it is there as a whole or not at all."""
        from models.training.finetune import FinetuneSettings, finetune  # torch and the trainer take seconds

        config, device = self._config, torch_device(self._config.device)
        assert config.finetune != "off"
        model = load_source(self._source, device=device)
        settings = FinetuneSettings(
            mode=config.finetune,
            epochs=config.finetune_epochs,
            max_steps=config.finetune_max_steps,
            batch=config.finetune_batch,
            learning_rate=config.finetune_learning_rate or _LEARNING_RATES[config.finetune],
            layers=config.finetune_layers,
            negatives=config.finetune_negatives,
            max_tokens=min(config.finetune_max_tokens, config.max_seq_length or config.finetune_max_tokens),
            prompts=prompts_of(config, model),
            seed=_SEED,
        )
        checkpoints, unfinished = copy.with_name(_CHECKPOINTS), copy.with_name("unfinished")
        done = finetune(
            model,
            pairs,
            settings,
            checkpoints=checkpoints,
            device=device,
            say=_say,
            bar=partial(progress, "fine-tuning"),
        )
        shutil.rmtree(unfinished, ignore_errors=True)
        with writing(unfinished):
            model.save_pretrained(str(unfinished), create_model_card=False)
        unfinished.rename(copy)
        shutil.rmtree(checkpoints, ignore_errors=True)
        _say(f"fine-tuned: loss {done.losses[0]:.3f} → {done.losses[-1]:.3f}")
        return done.n_steps - done.n_resumed

    @property
    def _name(self) -> str:
        return f"{Path(self._source.name).name}-finetuned"

    def _is_live(self, copy: Path) -> bool:
        if self._live is None or not copy.is_dir():
            return False
        source = find_model(str(copy))
        return any(
            source.fingerprint(self._config, self._recipe, precision) == self._live for precision in get_args(Precision)
        )

    def _tidy(self) -> None:
        newest = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest[_KEPT:]:
            if not self._is_live(path / self._name):
                shutil.rmtree(path, ignore_errors=True)


def _check_packages(mode: str) -> None:
    needed = (*_PACKAGES, "peft") if mode == "lora" else _PACKAGES
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        extra = "lora" if mode == "lora" else "finetune"
        raise ConfigError(
            f'encoder.finetune is "{mode}", which needs the packages {", ".join(needed)};'
            f" missing: {', '.join(missing)}; install the extra {extra!r}"
        )


def _until(interactions: Interactions, newest: float | None) -> Interactions:
    if newest is None or interactions.times is None:
        return interactions
    return select(interactions, interactions.times <= newest)


def _with(config: EncoderConfig, copy: Path) -> EncoderConfig:
    return config.model_copy(update={"model": str(copy)})


def _nothing(config: EncoderConfig, reason: str) -> str:
    return f'encoder.finetune is "{config.finetune}", but the encoder stays as it is: {reason}'


def _hash(value: object) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
