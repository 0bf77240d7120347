"""A request through its stages: what counts as known, what is left out, and how many come back."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.schemas import MAX_HISTORY, MAX_TEXTS
from models.recaller import Recaller, Sought, UserQuery
from models.text import MAX_CHARS
from tests.app.harness import ask, core, ids, serving, wrong_fields
from tests.fakes import FakeEncoder

TEXT = "sturdy boots for mountain trails"
N_ITEMS = 60


# What is known


async def test_nothing_sent_gives_a_hundred_popular_items(client):
    answer = await ask(client)
    assert answer["fallback"] == "popular"
    assert len(answer["candidates"]) == N_ITEMS  # of a default of 100
    assert answer["candidates"][0] == {"id": "hike-stove", "score": 1.0, "recall_score": 1.0, "relation_score": None}
    assert (answer["missing_ids"], answer["degraded"]) == ([], [])


async def test_without_interactions_the_centre_stands_in(plain_engine):
    async with serving(plain_engine) as client:
        answer = await ask(client, k=5)
        assert answer["fallback"] == "centre"
        assert len(answer["candidates"]) == 5
        vectors = plain_engine.artifact.embeddings
        best = int(np.argmax(vectors @ vectors.mean(axis=0)))
        assert ids(answer)[0] == plain_engine.artifact.item_ids[best]


@pytest.mark.parametrize(
    "text", ["", " \n\t\u3000", "<p><br/></p>", "&nbsp;<!-- nothing -->", [], [""], ["", " ", "<b></b>"], None]
)
async def test_text_without_words_counts_as_absent(client, text):
    assert core(await ask(client, text=text)) == core(await ask(client))


async def test_a_text_is_known(client):
    answer = await ask(client, text="leather hiking boots", k=1)
    assert (ids(answer), answer["fallback"]) == (["hike-boots"], None)


async def test_one_text_may_stand_in_a_list_among_empty_ones(client):
    single = core(await ask(client, text=TEXT))
    assert core(await ask(client, text=[TEXT])) == single
    assert core(await ask(client, text=["", TEXT, "<p>"])) == single
    assert core(await ask(client, text=f"<p>{TEXT}</p>")) == single


async def test_newer_texts_count_more(zero_shot_engine):
    rows, fields = zero_shot_engine.artifact.rows, zero_shot_engine.artifact.fields
    boots, coffee = (fields.get(rows[one])["description"] for one in ("hike-boots", "coffee-grinder"))
    async with serving(zero_shot_engine) as client:
        assert ids(await ask(client, text=[coffee, boots], k=1)) == ["hike-boots"]
        assert ids(await ask(client, text=[boots, coffee], k=1)) == ["coffee-grinder"]


async def test_a_history_is_known_and_may_be_weighted(zero_shot_engine):
    async with serving(zero_shot_engine) as client:
        await _check_history(client)


async def _check_history(client):
    assert ids(await ask(client, history=["hike-boots"], k=1)) == ["hike-boots"]
    plain = core(await ask(client, history=["hike-boots", "coffee-v60"]))
    spelt = [{"id": "hike-boots", "weight": 1}, {"id": "coffee-v60", "weight": 1.0}]
    assert core(await ask(client, history=spelt)) == plain
    weighted = [{"id": "hike-boots", "weight": 5}, {"id": "coffee-v60", "weight": 0.5}]
    assert ids(await ask(client, history=["hike-boots", "coffee-v60"], k=1)) == ["coffee-v60"]
    assert ids(await ask(client, history=weighted, k=1)) == ["hike-boots"]


async def test_a_history_that_weighs_nothing_is_nothing_known(client):
    answer = await ask(client, history=[{"id": "hike-boots", "weight": 0}])
    assert (answer["fallback"], answer["missing_ids"]) == ("popular", [])


async def test_integers_are_ids(plain_engine):
    async with serving(plain_engine) as client:
        strings = await ask(client, history=["7", "8"], exclude_ids=["9", "1000"], exclude_seen=True)
        integers = await ask(client, history=[7, {"id": 8}], exclude_ids=[9, 1000], exclude_seen=True)
        assert core(strings) == core(integers)
        assert strings["missing_ids"] == ["1000"]
        assert not {"7", "8", "9"} & set(ids(strings))
        assert len(ids(strings)) == 37


async def test_text_and_history_are_both_known(client):
    both = await ask(client, text="fresh coffee", history=["hike-boots"])
    assert core(both) != core(await ask(client, text="fresh coffee"))
    assert core(both) != core(await ask(client, history=["hike-boots"]))


async def test_unknown_ids_are_told_once_each_in_the_order_they_came(client):
    history = ["z", "hike-boots", "a", {"id": "z", "weight": 2}, "", 5]
    answer = await ask(client, history=history, exclude_ids=["b", "a", "hike-tent", "Hike-Boots"])
    assert answer["missing_ids"] == ["z", "a", "", "5", "b", "Hike-Boots"]


async def test_unknown_ids_alone_are_nothing_known(client):
    answer = await ask(client, history=["gone"])
    assert (answer["fallback"], answer["missing_ids"]) == ("popular", ["gone"])


@pytest.mark.parametrize(("n_newer", "fallback"), [(MAX_HISTORY - 1, None), (MAX_HISTORY, "popular")])
async def test_the_newest_of_a_long_history_are_used_and_all_are_excluded(client, n_newer, fallback):
    history = ["hike-boots", *(f"gone-{number}" for number in range(n_newer))]
    answer = await ask(client, history=history, exclude_seen=True)
    assert answer["fallback"] == fallback
    assert "hike-boots" not in ids(answer)
    assert len(ids(answer)) == N_ITEMS - 1
    assert answer["missing_ids"] == history[1:]


async def test_of_many_texts_the_newest_are_read(client):
    texts = [f"text {number} about coffee and boots" for number in range(MAX_TEXTS + 3)]
    whole, newest = await ask(client, text=texts), await ask(client, text=texts[-MAX_TEXTS:])
    assert whole["degraded"] == ["text_truncated"]
    assert newest["degraded"] == []
    assert whole["candidates"] == newest["candidates"]


@pytest.mark.parametrize("text", ["boots " * 201, "b" * (MAX_CHARS + 1)])
async def test_a_text_that_is_cut_says_so_on_miss_and_on_hit(client, text):
    miss, hit = await ask(client, text=[text, "short"]), await ask(client, text=[text, "short"])
    assert (miss["cache"], hit["cache"]) == ("miss", "hit")
    assert miss["degraded"] == hit["degraded"] == ["text_truncated"]
    assert core(miss) == core(hit)
    assert (await ask(client, text="short"))["degraded"] == []


async def test_the_cache_tells_what_it_did(client):
    assert [(await ask(client, text=texts))["cache"] for texts in (["a"], ["a"], ["a", "b"], ["b", "a"])] == [
        "miss",
        "hit",
        "partial",
        "hit",
    ]


async def test_without_a_cache_nothing_is_remembered_and_the_answer_is_the_same(engine, client):
    encoder = FakeEncoder()
    async with serving(engine, encoder, cache_entries=0) as uncached:
        answers = [await ask(uncached, text=TEXT) for _ in range(2)]
    assert [answer["cache"] for answer in answers] == ["off", "off"]
    assert encoder.encoded == [TEXT] * 2
    assert core(answers[0]) == core(answers[1]) == core(await ask(client, text=TEXT))


async def test_users_known_by_the_same_texts_alone_share_a_vector(engine):
    made: list[int] = []

    class CountingRecaller(Recaller):
        def sought(self, query: UserQuery) -> Sought | None:
            made.append(0 if query.sought is None else 1)
            return super().sought(query)

    counted = replace(engine, recaller=CountingRecaller(engine.artifact))
    async with serving(counted) as client:
        bodies: list[dict[str, Any]] = [
            {"text": TEXT},
            {"text": TEXT, "k": 3, "exclude_ids": ["hike-boots"]},  # what is left out is the request's own business
            {"text": [TEXT, "warm"]},
            {"text": ["warm", TEXT]},
            {"text": TEXT, "history": ["hike-map"]},
            {"text": TEXT, "history": ["hike-map"]},
            {"history": ["hike-map"]},
            {},
            {"text": ["warm", TEXT]},
        ]
        answers = [await ask(client, **body) for body in bodies]
    assert made == [0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert core(answers[3]) == core(answers[8])
    assert ids(answers[1]) == [one for one in ids(answers[0]) if one != "hike-boots"][:3]
    assert core(answers[4]) == core(answers[5]) != core(answers[0])
    made.clear()
    async with serving(counted, cache_entries=0) as client:
        assert core(await ask(client, text=TEXT)) == core(await ask(client, text=TEXT)) == core(answers[0])
    assert made == [0, 0]


async def test_a_text_asked_a_hundred_times_at_once_is_encoded_once(moody, encoder):
    encoder.gate.clear()
    asked = [asyncio.create_task(ask(moody, text=TEXT, k=3)) for _ in range(100)]
    while not encoder.encoded:
        await asyncio.sleep(0.001)
    encoder.gate.set()
    answers = await asyncio.gather(*asked)
    assert Counter(encoder.encoded) == {TEXT: 1}
    assert all(core(answer) == core(answers[0]) for answer in answers)


# What is left out, and how many come back


ITEM_IDS = st.sampled_from([f"gone-{number}" for number in range(3)])


@given(data=st.data())
def test_exactly_k_or_all_that_may_come_best_first(shared, engine, data):
    known = st.sampled_from(engine.artifact.item_ids)
    some = st.lists(known | ITEM_IDS, max_size=70)
    k = data.draw(st.integers(1, 70) | st.sampled_from([100, 1000]))
    history, excluded = data.draw(some), data.draw(some)
    seen, rescore = data.draw(st.booleans()), data.draw(st.booleans())
    text = data.draw(st.none() | st.lists(st.sampled_from(["boots", "coffee", "", "stars and telescopes"]), max_size=3))
    answer = shared.recall(
        text=text, history=history, exclude_ids=excluded, exclude_seen=seen, k=k, rescore=rescore, with_fields=["price"]
    )
    rows = engine.artifact.rows
    gone = {one for one in excluded + (history if seen else []) if one in rows}
    found = ids(answer)
    assert len(found) == len(set(found)) == min(k, N_ITEMS - len(gone))
    assert not gone & set(found)
    assert answer["missing_ids"] == list(dict.fromkeys(one for one in history + excluded if one not in rows))
    scores = [candidate["score"] for candidate in answer["candidates"]]
    assert scores == sorted(scores, reverse=True)
    known_user = any(text or ()) or any(one in rows for one in history)
    assert answer["fallback"] == (None if known_user else "popular")
    for candidate in answer["candidates"]:
        acted = rescore and known_user
        assert (candidate["relation_score"] is not None) == acted
        assert candidate["score"] == candidate["relation_score" if acted else "recall_score"]
        assert candidate["fields"] == {"price": engine.artifact.fields.get(rows[candidate["id"]])["price"]}


@pytest.mark.parametrize("k", [1, 2, 59, 60, 61, 1000])
async def test_k_is_how_many(client, k):
    assert len(ids(await ask(client, text=TEXT, k=k))) == min(k, N_ITEMS)


async def test_everything_may_be_excluded(client, engine):
    everything = engine.artifact.item_ids
    for body in ({"text": TEXT, "exclude_ids": everything}, {"history": everything, "exclude_seen": True}):
        assert ids(await ask(client, **body)) == []
    assert ids(await ask(client, exclude_ids=everything[1:])) == everything[:1]


async def test_the_history_comes_back_unless_it_is_left_out(client):
    assert "hike-boots" in ids(await ask(client, history=["hike-boots"]))
    assert "hike-boots" not in ids(await ask(client, history=["hike-boots"], exclude_seen=True))


async def test_without_the_head_the_order_is_the_indexs(client):
    answer = await ask(client, text=TEXT, rescore=False)
    for candidate in answer["candidates"]:
        assert candidate["relation_score"] is None
        assert candidate["score"] == candidate["recall_score"]
    assert answer["timings_ms"]["rescore"] == 0
    assert answer["degraded"] == []


async def test_the_head_acts(engine):
    """With θ = -1 it turns the order round; the pool is the whole small catalogue."""
    artifact = engine.artifact
    turned = replace(artifact, head=replace(artifact.head, theta=-artifact.head.theta))
    async with serving(replace(engine, artifact=turned, recaller=Recaller(turned))) as client:
        rescored = await ask(client, text=TEXT)
        plain = await ask(client, text=TEXT, rescore=False)
    assert ids(rescored) == ids(plain)[::-1]
    for candidate in rescored["candidates"]:
        assert candidate["relation_score"] == pytest.approx(-candidate["recall_score"], abs=2e-6)


async def test_fields_come_only_where_they_are_asked_for(client):
    assert "fields" not in (await ask(client, text=TEXT, k=1))["candidates"][0]
    answer = await ask(client, text="leather hiking boots", k=1, with_fields=["title", "price", "title"])
    assert answer["candidates"][0]["fields"] == {"title": "Leather hiking boots", "price": 189.0}


async def test_an_unknown_field_is_told_the_known_ones(client):
    response = await client.post("/recall", json={"with_fields": ["title", "colour" * 1_000]})
    assert wrong_fields(response) == ["with_fields"]
    assert "'colour" in response.json()["detail"]
    assert "title, description, category, brand, price" in response.json()["detail"]
    assert len(response.text) < 1_000


async def test_the_answer_names_its_artifact_and_its_times(client, engine):
    answer = await ask(client, text="never asked before")
    assert answer["artifact_id"] == engine.artifact_id
    times = answer["timings_ms"]
    assert times.keys() == {"encode", "search", "rescore", "total"}
    assert all(milliseconds > 0 for milliseconds in times.values())
    assert times["total"] >= max(times["encode"], times["search"], times["rescore"])
