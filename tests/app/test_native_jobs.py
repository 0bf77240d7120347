"""Work of the library's threads on the event loop, and requests that are answered by them."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fastapi import FastAPI

from app import native_jobs as module
from app.encoding import beginning
from app.engine import Engine
from app.factory import create_app
from app.in_progress import InProgress
from app.native_jobs import NativeJobs, native_jobs
from app.settings import ServiceSettings
from models.encoder import EncoderFacts, Prompts
from models.errors import EncoderError
from models.native.encoder import NativeEncoder, kernels
from models.native.find import Find
from models.native.threads import Job
from models.recaller import Recaller
from tests.app.harness import LONG, ask, assert_problem, core, running
from tests.fakes import FakeEncoder
from tests.models.native.test_find import many
from tests.models.test_fused import random
from tests.tiny_model import MAX_POSITIONS, write_tiny_model


@dataclass
class Search:
    """A search as work; what comes of it is what `then` says."""

    find: Find
    then: Callable[[Find], int] = lambda find: len(find.pool[0])

    @property
    def job(self) -> Job:
        return self.find.job

    def result(self) -> int:
        return self.then(self.find)


def search(then: Callable[[Find], int] | None = None) -> Search:
    compared = many().index.compared(200, None)
    assert compared is not None
    find = Find(compared, random(1, many().item_vectors.shape[1]), None)
    return Search(find) if then is None else Search(find, then)


async def test_results_come_to_whom_they_belong() -> None:
    with native_jobs(2) as jobs:
        assert jobs is not None
        waiting = [jobs.send(search(lambda find, n=n: n + len(find.pool[0]))) for n in range(300)]
        assert await asyncio.wait_for(asyncio.gather(*waiting), LONG) == [200 + n for n in range(300)]
        assert not jobs._waiting


async def test_what_goes_wrong_is_for_whoever_waits_and_nobody_else() -> None:
    with native_jobs(1) as jobs:
        assert jobs is not None
        wrong, right = jobs.send(search(lambda find: 1 // 0)), jobs.send(search())
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(wrong, LONG)
        assert await asyncio.wait_for(right, LONG) == 200


async def test_what_is_given_up_is_done_all_the_same() -> None:
    with native_jobs(1) as jobs:
        assert jobs is not None
        given_up, last = search(lambda find: pytest.fail("nobody asked")), search()
        jobs.send(given_up).cancel()
        await asyncio.wait_for(jobs.send(last), LONG)
        assert given_up.find.has_begun


async def test_what_has_not_begun_when_it_closes_is_cancelled() -> None:
    jobs = NativeJobs(1)
    waiting = [jobs.send(search()) for _ in range(500)]
    jobs.close()
    assert all(done.cancelled() for done in waiting)


async def test_without_the_library_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARY", None)
    with native_jobs(2) as jobs:
        assert jobs is None


# Texts


def noted(jobs: NativeJobs, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, int]]:
    """Notes what is sent, and for how many threads."""
    sent: list[tuple[object, int]] = []
    plain = jobs.send
    monkeypatch.setattr(jobs, "send", lambda task, parts: (sent.append((task, parts)), plain(task, parts))[1])
    return sent


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> NativeEncoder:
    folder = tmp_path_factory.mktemp("native") / "model"
    write_tiny_model(folder, dim=64, max_seq_length=MAX_POSITIONS)
    facts = EncoderFacts(
        name="tiny",
        revision=None,
        dim=64,
        max_tokens=MAX_POSITIONS,
        prompts=Prompts(),
        precision="float32",
        fingerprint="",
        query_runtime="native-int8",
    )
    return NativeEncoder(folder, facts, 1, kernels()[-1])


async def test_the_librarys_threads_encode_as_the_encoder_does(native: NativeEncoder, encoding_threads) -> None:
    texts = ["warm tea", "light boots for walks in mountains", "a " * 500, "b" * 3_000]
    with native_jobs(2) as jobs:
        begin = beginning(native, encoding_threads, jobs, InProgress())
        found = await asyncio.wait_for(asyncio.gather(*(begin(text, False) for text in texts)), LONG)
    for text, (vector, was_cut) in zip(texts, found, strict=True):
        expected, expected_cut = native.encode_user(text)
        assert vector.tobytes() == expected.tobytes()
        assert was_cut == expected_cut
    assert [was_cut for _, was_cut in found] == [False, False, True, False]


async def test_only_a_compiled_encoders_texts_go_there(native, encoding_threads, monkeypatch) -> None:
    alone = InProgress()
    with native_jobs(1) as jobs:
        assert jobs is not None
        sent = noted(jobs, monkeypatch)
        await beginning(native, encoding_threads, jobs, alone)("tea", True)
        assert len(sent) == 1
        await beginning(FakeEncoder(), encoding_threads, jobs, alone)("tea", True)
        await beginning(native, encoding_threads, None, alone)("tea", True)
        assert len(sent) == 1


async def test_only_so_many_are_looked_up_in_one_turn_of_the_loop(native, encoding_threads, monkeypatch) -> None:
    """A batch of thousands would hold up whoever else wants something; Python's threads look up the others."""
    with native_jobs(1) as jobs:
        assert jobs is not None
        sent = noted(jobs, monkeypatch)
        begin = beginning(native, encoding_threads, jobs, InProgress())
        some = [begin("x" * 1_000, False) for _ in range(20)]
        assert len(sent) == 8
        await asyncio.gather(*some)
        assert len(sent) == 20
        last = begin("tea", False)
        assert len(sent) == 21
        long = begin("tea " * 1_000, False)
        assert len(sent) == 21
        assert (await long)[1]
        await last


@pytest.mark.parametrize(("n_others", "by_itself"), [(0, True), (0, False), (1, True)])
async def test_the_only_text_of_the_only_request_has_all_threads(
    native, encoding_threads, monkeypatch, n_others, by_itself
) -> None:
    text, in_progress = "light boots for walks in mountains " * 12, InProgress()
    with native_jobs(2) as jobs, ExitStack() as requests:
        assert jobs is not None
        sent = noted(jobs, monkeypatch)
        for _ in range(1 + n_others):
            requests.enter_context(in_progress.one_more())
        begin = beginning(native, encoding_threads, jobs, in_progress)
        for found in [await begin(text, by_itself), await begin(text * 10, by_itself)]:
            assert found[0].tobytes() == native.encode_user(text)[0].tobytes()
        assert [parts for _, parts in sent] == [2 if by_itself and not n_others else 1] * 2


async def test_a_text_without_a_token_is_an_error_for_its_caller(native, encoding_threads, monkeypatch) -> None:
    monkeypatch.setattr(native, "_tokens", lambda text: ([], False))
    with native_jobs(1) as jobs:
        begin = beginning(native, encoding_threads, jobs, InProgress())
        with pytest.raises(EncoderError, match="no token"):
            await begin("tea", True)
        with pytest.raises(EncoderError, match="no token"):
            await begin("tea " * 1_000, True)


async def test_work_in_parts_has_one_result(native) -> None:
    read = native.read("light boots for walks in mountains " * 12)
    with native_jobs(2) as jobs:
        assert jobs is not None
        several = [native.encoding(read, 2) for _ in range(50)]
        found = await asyncio.wait_for(asyncio.gather(*(jobs.send(one, one.parts) for one in several)), LONG)
        assert {vector.tobytes() for vector, _ in found} == {
            native.encode_user("light boots for walks in mountains " * 12)[0].tobytes()
        }


# Requests


@pytest.fixture
def large(tmp_path: Path) -> Engine:
    """An engine over an index that the threads search."""
    artifact = replace(many(), folder=tmp_path / "none")
    return Engine(artifact, FakeEncoder(), Recaller(artifact))


def counting(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Notes what the service sends to those who search."""
    sent: list[object] = []
    jobs = app.state.pipelines._threads.native_searching
    plain = jobs.send
    monkeypatch.setattr(jobs, "send", lambda task: (sent.append(task), plain(task))[1])
    return sent


async def test_requests_at_the_same_time_are_answered_as_one_alone(large, monkeypatch) -> None:
    asked = [{"history": [f"i{row}", f"i{2 * row}"], "k": 10, "exclude_ids": [f"i{row + 1}"]} for row in range(1, 30)]
    app = create_app(ServiceSettings(threads=2), engine=large)
    async with running(app) as client:
        sent = counting(app, monkeypatch)
        alone = [core(await ask(client, **body)) for body in asked]
        assert not sent
        together = await asyncio.gather(*(ask(client, **body) for body in asked))
        assert len(sent) > len(asked) / 2
        assert [core(answer) for answer in together] == alone
        assert all(answer["timings_ms"]["search"] > 0 for answer in together)


@pytest.mark.parametrize("body", [{"timeout_ms": 1e9}, {"rescore": False}, {"k": 60}, {"with_fields": ["title"]}])
async def test_whatever_is_asked_for_the_answer_is_the_same(large, monkeypatch, body) -> None:
    asked = {"history": ["i3", "i5"], "k": 10, **body}
    app = create_app(ServiceSettings(threads=2), engine=large)
    async with running(app) as client:
        alone = core(await ask(client, **asked))
        sent = counting(app, monkeypatch)
        monkeypatch.setattr(app.state.swapper.pipeline._in_progress, "_n", 1)  # as if there were another
        assert core(await ask(client, **asked)) == alone
        assert len(sent) == 1


@pytest.mark.parametrize("is_late", [False, True])
async def test_time_that_is_up_before_a_thread_begins_is_a_504(large, monkeypatch, is_late) -> None:
    """Whether it still waits for one then, or has just met one."""
    app = create_app(ServiceSettings(threads=1), engine=large)
    async with running(app) as client:
        monkeypatch.setattr(app.state.swapper.pipeline._in_progress, "_n", 1)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if is_late:
            waiting.set_result(None)
        monkeypatch.setattr(app.state.pipelines._threads.native_searching, "send", lambda task: waiting)
        body = {"history": ["i3"], "k": 10, "timeout_ms": 1e6 if is_late else 20}
        assert_problem(await client.post("/recall", json=body), 504, "deadline_exceeded")


async def test_long_histories_and_batches_stay_off_the_event_loop(large, monkeypatch) -> None:
    app = create_app(ServiceSettings(threads=2), engine=large)
    async with running(app) as client:
        monkeypatch.setattr(app.state.swapper.pipeline._in_progress, "_n", 1)
        sent = counting(app, monkeypatch)
        await ask(client, history=[f"i{row}" for row in range(200)], k=10)
        batch = await client.post("/recall/batch", json={"requests": [{"history": ["i3"], "k": 10}] * 3})
        assert all("candidates" in answer for answer in batch.json()["responses"])
        assert not sent
