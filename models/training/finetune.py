"""Fine-tuning an encoder on pairs: sentence-transformers' trainer, a softmax over the batch, resumable.

The loss is the multiple negatives ranking loss (van den Oord et al. 2018, arXiv:1807.03748): cosine / 0.05, the pair's
item against all others of the batch.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import torch
from datasets import Dataset, DatasetDict, DatasetInfo
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import mine_hard_negatives

from models.cpu import has_bfloat16
from models.encoder import Prompts
from models.errors import DataError
from models.training.finetune_batches import ApartBatchSampler, Row
from models.training.finetune_pairs import Pairs, PairSet
from models.training.finetune_parts import merge_adapters, open_parts
from models.training.finetune_trainer import Steps, Trainer, newest_checkpoint

Mode = Literal["last_layers", "full", "lora"]
Bar = Callable[[int], AbstractContextManager[Callable[[int], None]]]

_MINI_BATCH = 64  # pairs whose activations are held at once
_CHECKPOINTS = 10
_LOSSES = 20
_MINED_FROM = (10, 100)  # ranks; the very first of unconsumed items are too often right answers
_MARGIN = 0.05  # share of the positive's score that a mined negative must stay below it


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """How an encoder is fine-tuned; anything that changes its weights is here.

    Attributes:
        mode: Which weights may change.
        epochs: Passes over the pairs, at most.
        max_steps: Batches, at most.
        batch: Pairs of a batch.
        learning_rate: At its highest, after a tenth of the steps.
        layers: Last layers that may change, in the mode "last_layers".
        negatives: Hard negatives that are mined for each pair.
        max_tokens: Read of a text while fine-tuning.
        prompts: As the encoder will be used with.
        seed: Of batches and dropout.
    """

    mode: Mode
    epochs: float
    max_steps: int
    batch: int
    learning_rate: float
    layers: int
    negatives: int
    max_tokens: int
    prompts: Prompts
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Finetuned:
    """What became of it.

    Attributes:
        n_steps: In all.
        n_resumed: Steps that an earlier, killed run had done.
        losses: Means over the steps since the one before, oldest first.
    """

    n_steps: int
    n_resumed: int
    losses: tuple[float, ...]


def finetune(
    model: SentenceTransformer,
    pairs: PairSet,
    settings: FinetuneSettings,
    *,
    checkpoints: Path,
    device: str,
    say: Callable[[str], None],
    bar: Bar,
) -> Finetuned:
    """Changes the model's weights so that texts come near the items of their users; continues from a checkpoint.

    Args:
        model: Changed in place; afterwards as plain as before.
        pairs: Of the past.
        settings: How.
        checkpoints: Folder for the state of a run; its pairs and settings are always the same.
        device: Torch's word.
        say: Takes a line for a person: what starts, and how long it will take.
        bar: Shows the progress over so many steps.

    Raises:
        DataError: The pairs make no batch.
        EncoderError: The model has no such layers.
    """
    torch.manual_seed(settings.seed)
    own_max_tokens = model.max_seq_length
    model.max_seq_length = min(settings.max_tokens, own_max_tokens or settings.max_tokens)
    rows, datasets = _datasets(model, pairs, settings)
    samplers = {
        kind: ApartBatchSampler(datasets[kind], rows[kind], batch_size=settings.batch, seed=settings.seed)
        for kind in rows
    }
    n_batches = sum(len(sampler) for sampler in samplers.values())
    if not n_batches:
        raise DataError(f"{len(pairs)} pairs make no batch: two users with different items are needed at least")
    n_steps = min(settings.max_steps, ceil(settings.epochs * n_batches))
    with open_parts(model, settings.mode, layers=settings.layers):
        steps = Steps(n_steps, f"fine-tuning ({settings.mode}) on {device}", say=say)
        trainer = Trainer(
            model=model,
            args=_arguments(settings, checkpoints, n_steps=n_steps, device=device, samplers=samplers),
            train_dataset=DatasetDict(datasets),
            loss=_loss(model, settings.batch),
            callbacks=[steps],
        )
        last = newest_checkpoint(checkpoints)
        say(
            f"fine-tuning ({settings.mode}) on {device}: {len(pairs)} pairs, {n_steps} steps of up to {settings.batch}"
            + (f", continued from {last.name}" if last else "")
        )
        with bar(n_steps) as advance:
            steps.advance = advance
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # or it would go on computing in bfloat16
    if settings.mode == "lora":
        merge_adapters(model)
    model.max_seq_length = own_max_tokens
    model.eval()
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    return Finetuned(n_steps, steps.n_resumed, losses)


def _arguments(
    settings: FinetuneSettings,
    checkpoints: Path,
    *,
    n_steps: int,
    device: str,
    samplers: dict[str, ApartBatchSampler],
) -> SentenceTransformerTrainingArguments:
    item = {"positive": settings.prompts.item}
    item |= {f"negative_{number}": settings.prompts.item for number in range(1, settings.negatives + 1)}
    anchors = {"text": settings.prompts.user, "history": settings.prompts.item}
    return SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        max_steps=n_steps,
        per_device_train_batch_size=settings.batch,
        batch_sampler=lambda dataset, **_: samplers[dataset.info.dataset_name],
        prompts={kind: {"anchor": anchors[kind], **item} for kind in samplers},
        learning_rate=settings.learning_rate,
        warmup_steps=0.1,
        weight_decay=0.01,
        bf16=has_bfloat16() if device == "cpu" else device == "cuda" and torch.cuda.is_bf16_supported(),
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        save_strategy="steps",
        save_steps=ceil(n_steps / _CHECKPOINTS),
        save_total_limit=1,
        logging_strategy="steps",
        logging_steps=ceil(n_steps / _LOSSES),
        report_to="none",
        disable_tqdm=True,
        seed=settings.seed,
    )


def _loss(model: SentenceTransformer, batch: int) -> torch.nn.Module:
    loss: torch.nn.Module
    if batch > _MINI_BATCH:
        loss = CachedMultipleNegativesRankingLoss(model, mini_batch_size=_MINI_BATCH)
    else:
        loss = MultipleNegativesRankingLoss(model)
    return loss


def _datasets(
    model: SentenceTransformer, pairs: PairSet, settings: FinetuneSettings
) -> tuple[dict[str, list[Row]], dict[str, Dataset]]:
    rows: dict[str, list[Row]] = {}
    datasets: dict[str, Dataset] = {}
    for kind, of_kind in pairs.by_kind.items():
        prompt = settings.prompts.user if kind == "text" else settings.prompts.item
        mined = _mine(model, pairs, of_kind, settings, prompt) if settings.negatives else [()] * len(of_kind)
        found: list[Row] = []
        columns: dict[str, list[str]] = {"anchor": [], "positive": []}
        columns |= {f"negative_{number}": [] for number in range(1, settings.negatives + 1)}
        for anchor, item, user, negatives in zip(
            of_kind.anchors, of_kind.items.tolist(), of_kind.users.tolist(), mined, strict=True
        ):
            texts = (pairs.item_texts[item], *negatives)
            own = pairs.consumed[user]
            if len(negatives) == settings.negatives and own.isdisjoint(negatives):
                found.append((anchor, texts, own))
                for column, text in zip(columns.values(), (anchor, *texts), strict=True):
                    column.append(text)
        if found:
            rows[kind] = found
            datasets[kind] = Dataset.from_dict(columns, info=DatasetInfo(dataset_name=kind))
    return rows, datasets


def _mine(
    model: SentenceTransformer, pairs: PairSet, of_kind: Pairs, settings: FinetuneSettings, prompt: str
) -> list[tuple[str, ...]]:
    """Returns hard negatives of each pair, in the order of the pairs; none where too few were found."""
    positives = [pairs.item_texts[item] for item in of_kind.items.tolist()]
    start, end = _MINED_FROM
    mined = mine_hard_negatives(
        Dataset.from_dict({"anchor": list(of_kind.anchors), "positive": positives}),
        model,
        corpus=[text for text in dict.fromkeys(pairs.item_texts) if text],
        range_min=min(start, len(pairs.item_texts) // 10),
        range_max=end,
        relative_margin=_MARGIN,
        num_negatives=settings.negatives,
        query_prompt=prompt,
        corpus_prompt=settings.prompts.item,
        output_format="n-tuple",
        verbose=False,
    )
    columns = [f"negative_{number}" for number in range(1, settings.negatives + 1)]
    found = {
        (anchor, positive): negatives
        for anchor, positive, *negatives in zip(
            *(mined[name] for name in ("anchor", "positive", *columns)), strict=True
        )
    }
    return [tuple(found.get(pair, ())) for pair in zip(of_kind.anchors, positives, strict=True)]
