"""Batches for in-batch negatives: nothing that a user consumed stands in the batch as that user's negative."""

from collections.abc import Iterator
from itertools import chain, count, islice
from typing import TYPE_CHECKING

import numpy as np
from sentence_transformers.base.sampler import DefaultBatchSampler

if TYPE_CHECKING:
    from datasets import Dataset

_LOOK_AHEAD = 50  # batches' worth of pairs that are looked at for one batch: a pass stays linear

Row = tuple[str, tuple[str, ...], frozenset[str]]
"""A pair's anchor, the item texts it brings into a batch, and all that its user consumed."""


class ApartBatchSampler(DefaultBatchSampler):
    """Puts pairs together that are no positives of one another; the others wait for a later batch.

    No two pairs of a batch share an anchor or an item either.

    Args:
        dataset: Of the pairs.
        rows: The same pairs, in order.
        batch_size: Pairs of a batch.
        seed: Of the order; each epoch has its own.
    """

    def __init__(self, dataset: "Dataset", rows: list[Row], *, batch_size: int, seed: int) -> None:
        super().__init__(dataset, batch_size=batch_size, drop_last=False, seed=seed)
        self._rows = rows
        self._n_batches = sum(1 for _ in self._pass(0, 0))

    def __len__(self) -> int:
        return self._n_batches

    def __iter__(self) -> Iterator[list[int]]:
        if not self._n_batches:
            return
        passes = (self._pass(self.epoch, number) for number in count())
        yield from islice(chain.from_iterable(passes), self._n_batches)

    def _pass(self, epoch: int, number: int) -> Iterator[list[int]]:
        """Yields batches until what is left fills less than half of one, but one at least."""
        left = np.random.default_rng([self.seed, epoch, number]).permutation(len(self._rows)).tolist()
        first = True
        while left:
            batch, left = self._draw(left)
            if len(batch) < 2 or (not first and len(batch) < self.batch_size / 2):
                return
            yield batch
            first = False

    def _draw(self, left: list[int]) -> tuple[list[int], list[int]]:
        batch: list[int] = []
        waiting: list[int] = []
        anchors: set[str] = set()
        present: set[str] = set()
        consumed: set[str] = set()
        for place, row in enumerate(left[: _LOOK_AHEAD * self.batch_size]):
            anchor, texts, own = self._rows[row]
            if anchor in anchors or not consumed.isdisjoint(texts) or not present.isdisjoint(own):
                waiting.append(row)
                continue
            batch.append(row)
            anchors.add(anchor)
            present.update(texts)
            consumed |= own
            if len(batch) == self.batch_size:
                return batch, waiting + left[place + 1 :]
        return batch, waiting + left[_LOOK_AHEAD * self.batch_size :]
