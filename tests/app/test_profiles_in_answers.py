"""Profiles: a click is in the next answer, before what the request says, and nowhere else."""

from tests.app.harness import assert_problem, ids, serving
from tests.app.users import ask, essence, event, post


async def test_a_click_is_in_the_next_answer(service):
    assert (await ask(service, user_id="u", k=1))["fallback"] == "popular"
    await post(service, event("e1", "coffee-v60"))
    answer = await ask(service, user_id="u", k=5)
    assert answer["fallback"] is None
    assert essence(answer) == essence(await ask(service, history=["coffee-v60"], k=5))
    assert ids(await ask(service, user_id="other", k=5)) == ids(await ask(service, k=5))


async def test_a_profile_comes_before_what_the_request_says(service):
    await post(
        service,
        event("e1", "hike-map", "purchase", timestamp=200, text="boots for the mountains"),
        event("e2", "bike-pump", "view", timestamp=100),
    )
    answer = await ask(service, user_id="u", text="coffee", history=["coffee-v60"])
    spelt = [{"id": "bike-pump", "weight": 0.5}, {"id": "hike-map", "weight": 3}, "coffee-v60"]
    assert essence(answer) == essence(await ask(service, text=["boots for the mountains", "coffee"], history=spelt))


async def test_what_the_request_names_counts_once_and_as_the_request_says(service):
    await post(service, event("e1", "hike-map", "purchase"), event("e2", "bike-pump"))
    answer = await ask(service, user_id="u", history=[{"id": "hike-map", "weight": 0.1}])
    spelt = ["bike-pump", {"id": "hike-map", "weight": 0.1}]
    assert essence(answer) == essence(await ask(service, history=spelt))


async def test_exclude_seen_leaves_out_what_the_profile_consumed(service):
    await post(service, event("e1", "hike-map"), event("e2", "bike-pump", "dislike"), event("e3", "astro-book", "odd"))
    seen = set(ids(await ask(service, user_id="u", history=["hike-boots"], exclude_seen=True)))
    assert not {"hike-map", "bike-pump", "hike-boots"} & seen
    assert "astro-book" in seen
    assert len(seen) == 57
    assert len(ids(await ask(service, user_id="u"))) == 60


async def test_a_dislike_takes_an_item_out_of_the_history(service):
    await post(service, event("e1", "hike-map", timestamp=1), event("e2", "bike-pump", timestamp=2))
    await post(service, event("e3", "hike-map", "dislike", timestamp=3))
    assert essence(await ask(service, user_id="u")) == essence(await ask(service, history=["bike-pump"]))


async def test_what_the_catalogue_lacks_is_not_reported_as_missing(service):
    await post(service, event("e1", "gone"))
    answer = await ask(service, user_id="u", exclude_seen=True)
    assert (answer["missing_ids"], answer["fallback"], len(ids(answer))) == ([], "popular", 60)


async def test_texts_of_a_profile_leave_room_for_those_of_the_request(service):
    await post(service, *(event(f"e{n}", text=f"text number {n}", timestamp=n) for n in range(20)))
    answer = await ask(service, user_id="u", text=[f"own {n}" for n in range(32)], k=1)
    assert answer["degraded"] == []
    answer = await ask(service, user_id="u", text=[f"own {n}" for n in range(31)], history=["hike-map"])
    spelt = [*(["text number 19"]), *(f"own {n}" for n in range(31))]
    assert answer["candidates"] == (await ask(service, text=spelt, history=["hike-boots", "hike-map"]))["candidates"]


async def test_recall_never_writes_a_profile(service):
    await ask(service, user_id="u", text="boots", history=["hike-map"])
    assert_problem(await service.get("/users/u"), 404, "unknown_user")


async def test_profiles_count_in_a_batch(service):
    await post(service, event("e1", "hike-map"), event("e2", "coffee-v60", user="v"))
    body = {"requests": [{"user_id": user, "k": 3} for user in ("u", "v", "w")]}
    answers = (await service.post("/recall/batch", json=body)).json()["responses"]
    alone = [await ask(service, user_id=user, k=3) for user in ("u", "v", "w")]
    assert [essence(one) for one in answers] == [essence(one) for one in alone]
    assert len({str(essence(one)) for one in answers}) == 3


async def test_weights_and_caps_are_settings(engine, tmp_path):
    settings = {"state": tmp_path / "s", "event_weights": "stare=2, skip=-1", "profile_items": 2, "profile_texts": 1}
    async with serving(engine, **settings) as client:
        await post(client, *(event(f"e{n}", f"i{n}", "stare", text=f"t{n}", timestamp=n) for n in range(4)))
        await post(client, event("e9", "i9", "click"))
        profile = (await client.get("/users/u")).json()
    assert profile["history"] == [{"id": "i2", "weight": 2.0, "time": 2.0}, {"id": "i3", "weight": 2.0, "time": 3.0}]
    assert profile["texts"] == [{"text": "t3", "time": 3.0}]


async def test_a_click_through_one_service_is_in_the_next_answer_of_another(engine, stored):
    async with serving(engine, **stored) as one, serving(engine, **stored) as other:
        await post(one, event("e1", "coffee-v60"))
        assert essence(await ask(other, user_id="u")) == essence(await ask(one, history=["coffee-v60"]))
        assert await post(other, event("e1", "hike-map")) == {"accepted": 1, "rejected": []}
        await other.delete("/users/u")
        assert (await ask(one, user_id="u"))["fallback"] == "popular"


async def test_what_was_acknowledged_is_there_after_a_restart(engine, stored):
    async with serving(engine, **stored) as client:
        await post(client, event("e1", "coffee-v60"))
    async with serving(engine, **stored) as client:
        assert (await ask(client, user_id="u"))["fallback"] is None


async def test_a_whole_batch_of_users_gets_profiles(service):
    await post(service, *(event(f"e{n}", "hike-map", user=f"u{n}") for n in range(100)))
    body = {"requests": [{"user_id": f"u{n}", "k": 1} for n in range(100)]}
    answers = (await service.post("/recall/batch", json=body)).json()["responses"]
    assert all((answer["degraded"], answer["fallback"]) == ([], None) for answer in answers)
