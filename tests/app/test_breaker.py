"""The breaker against a clock that stands still until told."""

import asyncio
from dataclasses import dataclass

import pytest

from app.breaker import Breaker, BreakerOpenError


@dataclass
class Clock:
    now: float = 1000.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(3, 2.0, clock=lambda: clock.now)


def fail(breaker: Breaker) -> None:
    with pytest.raises(OSError, match="dead"), breaker.attempt():
        raise OSError("dead")


def succeed(breaker: Breaker) -> None:
    with breaker.attempt():
        pass


def refuses(breaker: Breaker) -> bool:
    try:
        with breaker.attempt():
            raise AssertionError("the body ran")
    except BreakerOpenError:
        return True
    except AssertionError:
        return False


def test_failures_in_a_row_open_it(breaker):
    fail(breaker)
    fail(breaker)
    succeed(breaker)
    fail(breaker)
    fail(breaker)
    assert breaker.failing
    assert not breaker.is_open
    succeed(breaker)
    assert not breaker.failing
    for _ in range(3):
        fail(breaker)
    assert refuses(breaker)
    assert breaker.failing
    assert breaker.is_open


def test_one_probe_at_a_time_and_a_success_closes_it(breaker, clock):
    for _ in range(3):
        fail(breaker)
    clock.now += 1.9
    assert refuses(breaker)
    clock.now += 0.2
    with breaker.attempt():
        assert refuses(breaker)
    succeed(breaker)
    succeed(breaker)


def test_a_failed_probe_waits_for_another_turn(breaker, clock):
    for _ in range(3):
        fail(breaker)
    clock.now += 2.0

    def fail_slowly() -> None:
        with breaker.attempt():
            clock.now += 1.0
            raise OSError("slow")

    with pytest.raises(OSError, match="slow"):
        fail_slowly()
    clock.now += 1.9
    assert refuses(breaker)
    clock.now += 0.1
    succeed(breaker)


def test_a_cancelled_attempt_counts_neither_way(breaker, clock):
    def cancel() -> None:
        with pytest.raises(asyncio.CancelledError), breaker.attempt():
            raise asyncio.CancelledError

    for _ in range(10):
        cancel()
    assert not breaker.failing
    fail(breaker)
    fail(breaker)
    cancel()
    fail(breaker)
    assert refuses(breaker)
    clock.now += 2.0
    cancel()
    assert refuses(breaker)


def test_a_success_that_began_before_it_opened_closes_it(breaker):
    with breaker.attempt():
        for _ in range(3):
            fail(breaker)
        assert refuses(breaker)
    succeed(breaker)
