"""What `recall_http` measures and in which order: each side in turns, so that noise meets all alike."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path
from statistics import median

import orjson

from benchmarks import ROOT
from benchmarks.load import Answer, Check, Round, Target, ask, candidates_check, measure, run, status_check
from benchmarks.machine import resident_mib
from benchmarks.open_loop import measure_open
from benchmarks.recall_table import Measurement
from benchmarks.servers import ServerError, empty_route, recall_service, textbook_service, txtai_service
from benchmarks.speed_targets import Speed
from benchmarks.texts import item_words, unique_texts
from index_builder.progress import progress

ROUNDS = 3
WARM_TEXTS = 256
QUALITY_TEXTS = 50
ITEMS = 600
OPEN_SHARE = 0.8
"""Of the top load, what comes in the open loop."""

COLD, WARM, TEXTBOOK, EMPTY, TXTAI = "ours, cold", "ours, warm", "textbook", "empty route", "txtai"
_SEED = 1
_BARE_SEED = 1_000  # texts that no service is asked


@dataclass(frozen=True, slots=True)
class Bodies:
    """Requests, the same for every service.

    Attributes:
        quality: Whose candidates are compared.
        warm: Asked again and again.
        fresh: Without end, each asked once.
    """

    quality: list[bytes]
    warm: list[bytes]
    fresh: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Subject:
    """What one row measures.

    Attributes:
        name: The row's.
        target: Who is asked.
        check: What a good answer is.
        bodies: Requests without end.
        before: Asked before each round.
    """

    name: str
    target: Target
    check: Check
    bodies: Iterator[bytes]
    before: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Quality:
    """How much of the textbook's candidates ours are.

    Attributes:
        overlap: Mean share over the texts.
        failures: How often each reason occurred, on both sides.
        rescore_ms: What the service says it took to rescore each of ours.
    """

    overlap: float
    failures: Counter[str]
    rescore_ms: list[float]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        rows: One a service and number of connections.
        quality: Of the candidates.
        speed: What is held against targets.
    """

    rows: list[Measurement]
    quality: Quality
    speed: Speed

    @property
    def failures(self) -> Counter[str]:
        """How often each reason occurred, in all of it."""
        rounds = sum((one.failures for one in self.speed.open_loop), Counter(self.quality.failures))
        return sum((row.failures for row in self.rows), rounds)


def measure_all(
    artifacts: Path, folder: Path, *, k: int, connections: Sequence[int], seconds: float, txtai: Path | None
) -> Measured:
    """Starts everything, loads one at a time, stops everything.

    Args:
        artifacts: The artifacts folder that is served.
        folder: Its live artifact.
        k: Candidates of each request.
        connections: How many ask at the same time.
        seconds: Of each round.
        txtai: An environment with txtai, or None.
    """
    words = item_words(folder)
    items = [one["ratio"] for one in json.loads(_output("benchmarks.item_side", str(folder), str(ITEMS)))]
    with ExitStack() as running:
        service = running.enter_context(recall_service(artifacts))
        textbook = running.enter_context(textbook_service(folder)).recall
        empty = running.enter_context(empty_route()).recall
        asked, asked_too, asked_last = (_bodies(words, k) for _ in range(3))
        quality = run(_compare(service.recall, textbook, asked.quality, k=k))
        fresh = candidates_check(k, cache="miss")
        subjects = [
            Subject(COLD, service.recall, fresh, asked.fresh),
            Subject(WARM, service.recall, candidates_check(k, cache="hit"), cycle(asked.warm), asked.warm),
            Subject(TEXTBOOK, textbook, candidates_check(k), asked_too.fresh),
            Subject(EMPTY, empty, status_check, cycle(asked.warm)),
        ]
        if txtai is not None:
            other = running.enter_context(txtai_service(txtai, folder)).recall
            subjects.append(Subject(TXTAI, other, _txtai_check(k), map(_txtai_body, asked_last.fresh)))
        rounds, bare = _in_turns(subjects, folder, connections=connections, seconds=seconds)
        top = median(one.per_second for one in rounds[COLD, max(connections)])
        open_loop = [
            run(
                measure_open(
                    service.recall, asked.fresh, fresh, per_second=OPEN_SHARE * top, seconds=2 * seconds, seed=number
                )
            )
            for number in range(ROUNDS)
        ]
        resident = resident_mib(service.pid)

    def of(name: str) -> dict[int, list[Round]]:
        return {n: rounds[name, n] for n in connections if (name, n) in rounds}

    rows = [
        Measurement(
            name=subject.name,
            connections=n,
            rounds=rounds[subject.name, n],
            textbook=rounds[TEXTBOOK, n],
            overlap=quality.overlap if subject.target == service.recall else None,
        )
        for n in connections
        for subject in subjects
    ]
    speed = Speed(
        cold=of(COLD),
        warm=of(WARM),
        textbook=of(TEXTBOOK),
        empty=of(EMPTY),
        txtai=of(TXTAI),
        bare=bare,
        open_loop=open_loop,
        items=items,
        rescore_ms=quality.rescore_ms,
        ready_seconds=service.ready_seconds,
        resident_mib=resident,
    )
    return Measured(rows, quality, speed)


def _in_turns(
    subjects: Sequence[Subject], folder: Path, *, connections: Sequence[int], seconds: float
) -> tuple[dict[tuple[str, int], list[Round]], list[float]]:
    rounds: defaultdict[tuple[str, int], list[Round]] = defaultdict(list)
    bare: list[float] = []
    plan = list(product(range(ROUNDS), connections, subjects))
    with progress("measuring", len(plan)) as advance:
        for number, n, subject in plan:
            if subject.name == COLD and n == max(connections):  # right before what it is compared with
                seed = str(_BARE_SEED + number)
                bare.append(float(_output("benchmarks.bare_encoder", str(folder), str(seconds), seed)))
            rounds[subject.name, n].append(run(_round(subject, connections=n, seconds=seconds)))
            advance(1)
    return dict(rounds), bare


async def _round(subject: Subject, *, connections: int, seconds: float) -> Round:
    """Warms up with the same load, then measures."""
    await ask(subject.target, subject.before, connections=connections)
    await ask(subject.target, subject.bodies, connections=connections, seconds=min(1.0, seconds / 4))
    return await measure(subject.target, subject.bodies, subject.check, connections=connections, seconds=seconds)


async def _compare(ours: Target, textbook: Target, bodies: Sequence[bytes], *, k: int) -> Quality:
    """Asks both sides the same, one after the other."""
    check = candidates_check(k)
    found, expected = await ask(ours, bodies), await ask(textbook, bodies)
    reasons = [answer.error or check(answer) for answer in found + expected]
    failures = Counter(f"comparing candidates: {reason}" for reason in reasons if reason is not None)
    if failures:
        return Quality(float("nan"), failures, [float("nan")])
    shared = [len(_ids(own.body) & _ids(other.body)) / k for own, other in zip(found, expected, strict=True)]
    rescore_ms = [orjson.loads(answer.body)["timings_ms"]["rescore"] for answer in found]
    return Quality(sum(shared) / len(shared), failures, rescore_ms)


def _ids(body: bytes) -> set[str]:
    return {candidate["id"] for candidate in orjson.loads(body)["candidates"]}


def _bodies(words: Sequence[Sequence[str]], k: int) -> Bodies:
    bodies = (orjson.dumps({"text": text, "k": k}) for text in unique_texts(words, _SEED))
    return Bodies(list(islice(bodies, QUALITY_TEXTS)), list(islice(bodies, WARM_TEXTS)), bodies)


def _txtai_body(body: bytes) -> bytes:
    request = orjson.loads(body)
    return orjson.dumps({"queries": [request["text"]], "limit": request["k"]})


def _txtai_check(k: int) -> Check:
    def failure(answer: Answer) -> str | None:
        if answer.status != 200:
            return f"status {answer.status}"
        found = orjson.loads(answer.body)
        return None if len(found) == 1 and len(found[0]) == k else f"not {k} results for one query"

    return failure


def _output(module: str, *arguments: str) -> str:
    """Runs a module in a process of its own, which takes its memory along, and returns what it prints last.

    Raises:
        ServerError: It failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServerError(f"python -m {module} failed; it wrote:\n{done.stderr[-2000:].strip()}")
    return done.stdout.splitlines()[-1]
