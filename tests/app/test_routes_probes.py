"""Probes: readiness falls with the encoder, life goes on."""

import asyncio

from tests.app.harness import assert_problem


async def test_ready_means_that_the_probe_was_just_encoded(moody, encoder, engine):
    response = await moody.get("/readyz")
    assert response.json() == {"status": "ready", "artifact_id": engine.artifact_id, "probe_cosine": 1.0}
    assert encoder.encoded.count(engine.artifact.manifest.probe.text) >= 1


async def test_readiness_falls_with_the_encoder_and_recovers_while_life_goes_on(moody, encoder, logs):
    encoder.failure = lambda text: RuntimeError("a user's words")
    body = assert_problem(await moody.get("/readyz"), 503, "internal")
    assert "words" not in str(body)
    assert body["request_id"] in {entry["request_id"] for entry in logs if entry["event"] == "unexpected_error"}
    assert (await moody.get("/livez")).json() == {"status": "alive"}
    encoder.failure = lambda text: None
    assert (await moody.get("/readyz")).status_code == 200


async def test_readiness_falls_with_an_encoder_of_another_space(moody, encoder):
    encoder.seed = 7
    detail = assert_problem(await moody.get("/readyz"), 503, "artifact_unusable")["detail"]
    assert "cosine" in detail
    encoder.seed = 0
    assert (await moody.get("/readyz")).status_code == 200


async def test_life_goes_on_while_every_thread_is_busy(moody, encoder):
    encoder.gate.clear()
    waiting = [asyncio.create_task(moody.post("/recall", json={"text": f"text {n}"})) for n in range(5)]
    while not encoder.encoded:
        await asyncio.sleep(0.001)
    assert (await moody.get("/livez")).status_code == 200
    assert (await moody.get("/info")).status_code == 200
    assert (await moody.get("/metrics")).status_code == 200
    encoder.gate.set()
    assert {response.status_code for response in await asyncio.gather(*waiting)} == {200}
