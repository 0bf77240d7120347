"""A request through its stages: texts → vectors → pool → head → candidates. No HTTP in it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from cachetools import LRUCache

from app.cache import cache_key
from app.clock import Clock
from app.engine import Engine
from app.in_progress import InProgress
from app.schemas import MAX_HISTORY, MAX_TEXTS, RecallRequest
from app.searches import Searches
from app.text_vectors import TextVectors, TextVectorsAnswer
from app.user_state import UserState
from models.errors import FieldProblem, InvalidRequestError
from models.native.candidates import CandidatesJson
from models.profiles import NOTHING_KNOWN, Profile
from models.recaller import Recalled, Sought, UserQuery
from models.text import is_cut
from models.types import Matrix, Vector

_NO_TEXTS = np.empty((0, 0), np.float32)


class RecallPipeline:
    """Answers requests from one engine.

    Args:
        engine: What answers come from.
        vectors: Turns clean texts into vectors, cached.
        searches: Finds candidates in the engine.
        users: Whose profiles count.
        in_progress: Counts the requests.
        max_sought: Users known by texts alone whose vectors are kept, as long as the engine stays.
    """

    def __init__(
        self,
        engine: Engine,
        vectors: TextVectors,
        searches: Searches,
        users: UserState,
        in_progress: InProgress,
        *,
        max_sought: int,
    ) -> None:
        self.engine = engine
        self.vectors = vectors
        self._searches = searches
        self._users = users
        self._in_progress = in_progress
        self._sought: LRUCache[bytes, Sought] = LRUCache(max_sought)

    async def recall(self, request: RecallRequest, request_id: str, *, by_itself: bool = True) -> dict[str, Any]:
        """Returns the answer in the form of `RecallAnswer`, its candidates perhaps as text already.

        Args:
            request: What is asked.
            request_id: Repeated in the answer.
            by_itself: No others come with it, which one after another would hold the event loop up.

        Raises:
            InvalidRequestError: A field contradicts the artifact.
            DeadlineExceededError: `timeout_ms` passed before candidates were found.
            OverloadedError: Too many texts wait for the encoder.
        """
        with self._in_progress.one_more():
            return await self._answer(request, request_id, by_itself)

    async def aclose(self) -> None:
        """Waits for what is still being encoded or cached."""
        await self.vectors.aclose()

    async def _answer(self, request: RecallRequest, request_id: str, by_itself: bool) -> dict[str, Any]:
        clock = Clock(request.timeout_ms)
        self._check_fields(request.with_fields)
        profile, no_profile = await self._profile(request.user_id, clock)
        texts, cut = self._clean(request.texts, profile)
        vectors = await self._encode(texts, clock)
        alone = None if request.history or profile.history else b"".join(cache_key("", text) for text in texts)
        sought = self._sought.get(alone) if alone else None
        embedded = self.engine.artifact.text_vectors(vectors.vectors, texts) if sought is None else _NO_TEXTS
        query, missing = self._query(request, profile, embedded, sought)
        found = await self._searches.find(query, request.rescore, clock, by_itself=by_itself)
        if alone and found.sought is not None and self._sought.maxsize:
            self._sought[alone] = found.sought
        recalled, skipped = found.recalled, found.skipped
        degraded = ["profile"] if no_profile else []
        degraded += vectors.degraded
        degraded += ["text_truncated"] if cut or vectors.truncated else []
        degraded += ["rescore_skipped"] if skipped else []
        return {
            "request_id": request_id,
            "artifact_id": self.engine.artifact_id,
            "candidates": self._candidates(recalled, request.with_fields),
            "missing_ids": missing,
            "fallback": recalled.fallback,
            "cache": vectors.cache,
            "degraded": degraded,
            "timings_ms": clock.timings(),
        }

    async def _profile(self, user_id: str | None, clock: Clock) -> tuple[Profile, bool]:
        if user_id is None:
            return NOTHING_KNOWN, False
        try:
            async with asyncio.timeout(clock.remaining()):
                return await self._users.profile(user_id)
        except TimeoutError:
            raise clock.exceeded() from None

    def _clean(self, raw: Sequence[str], profile: Profile) -> tuple[list[str], bool]:
        recipe = self.engine.artifact.manifest.text_recipe
        newest = raw[-MAX_TEXTS:]
        room = MAX_TEXTS - len(newest)
        earlier = [text.text for text in profile.texts][-room:] if room else []
        texts = [text for text in map(recipe.clean, [*earlier, *newest]) if text]
        return texts, len(raw) > MAX_TEXTS or any(map(is_cut, newest))

    async def _encode(self, texts: list[str], clock: Clock) -> TextVectorsAnswer:
        start = time.perf_counter()
        try:
            async with asyncio.timeout(clock.remaining()) as deadline:
                vectors = await self.vectors.get(texts)
        except TimeoutError:
            # Some loops' timers run a fraction of a millisecond ahead of the clock, so the timer decides.
            if deadline.expired():
                raise clock.exceeded() from None
            raise
        if texts:
            clock.lap("encode", start)
        return vectors

    def _query(
        self, request: RecallRequest, profile: Profile, texts: Matrix, sought: Sought | None
    ) -> tuple[UserQuery, list[str]]:
        rows, own = self.engine.artifact.rows, request.weighted_history
        named = [item_id for item_id, _ in own]
        # What the request names is the newest, so the profile's word on it is outdated.
        newer = set(named)
        history = [(item.id, item.weight) for item in profile.history if item.id not in newer] + own
        known = [(rows[item_id], weight) for item_id, weight in history[-MAX_HISTORY:] if item_id in rows]
        unwanted = ([*named, *profile.seen] if request.exclude_seen else []) + request.exclude_ids
        excluded = {rows[item_id] for item_id in unwanted if item_id in rows}
        missing = dict.fromkeys(item_id for item_id in named + request.exclude_ids if item_id not in rows)
        weights: Vector = np.array([weight for _, weight in known], np.float32)
        query = UserQuery(
            texts=texts,
            history=np.array([row for row, _ in known], np.int64),
            weights=weights,
            excluded=np.array(sorted(excluded), np.int64),
            k=request.k,
            sought=sought,
        )
        return query, list(missing)

    def _candidates(self, recalled: Recalled, with_fields: Sequence[str]) -> list[dict[str, Any]] | CandidatesJson:
        artifact, relation = self.engine.artifact, recalled.relation_scores
        if artifact.writer is not None and not with_fields:
            scores = recalled.rows, recalled.scores, recalled.recall_scores
            return artifact.writer.write(*scores, is_related=relation is not None)
        rows, item_ids = recalled.rows.tolist(), artifact.item_ids
        recall_scores = _rounded(recalled.recall_scores)
        # What the order follows is one of the two.
        ordered = recall_scores if relation is None else _rounded(relation)
        candidates: list[dict[str, Any]] = [
            {
                "id": item_ids[row],
                "score": score,
                "recall_score": recall_score,
                "relation_score": None if relation is None else score,
            }
            for row, score, recall_score in zip(rows, ordered, recall_scores, strict=True)
        ]
        if with_fields:
            for candidate, row in zip(candidates, rows, strict=True):
                fields = artifact.fields.get(row)
                candidate["fields"] = {name: fields.get(name) for name in with_fields}
        return candidates

    def _check_fields(self, names: Sequence[str]) -> None:
        known = self.engine.artifact.manifest.item_fields
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InvalidRequestError(
                FieldProblem(
                    "with_fields", f"the catalogue has no field {unknown[0][:80]!r}; it has {', '.join(known)}"
                )
            )


def _rounded(scores: Vector) -> list[float]:
    rounded: list[float] = np.round(scores.astype(np.float64), 6).tolist()
    return rounded
