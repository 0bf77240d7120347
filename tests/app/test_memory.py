import ctypes
import gc
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from app import memory


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_there_at_the_start_is_looked_through_no_more(thawed: None) -> None:
    before: list[list[int]] = [[] for _ in range(1000)]
    memory.settle()
    assert gc.get_freeze_count() > len(before)
    assert not any(found is before for found in gc.get_objects())


def test_threads_share_two_heaps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    library = SimpleNamespace(mallopt=lambda *setting: asked.append(setting))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", "linux")
    memory.share_heaps()
    assert asked == [(-8, 2)]


@pytest.mark.parametrize(("platform", "library"), [("linux", SimpleNamespace()), ("darwin", None)])
def test_a_c_library_without_the_setting_is_left_alone(
    platform: str, library: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", platform)
    memory.share_heaps()
