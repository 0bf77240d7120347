"""The schedule of compose: a crontab line, one night at a time, and the same image and folders for both."""

import importlib.util
import re
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "nightly_schedule.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("nightly_schedule", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_default_is_every_night(script: ModuleType) -> None:
    at = re.search(r'"NIGHTLY_AT", "(.*?)"', SCRIPT.read_text())
    assert at is not None
    assert f"${{NIGHTLY_AT:-{at[1]}}}" in (ROOT / "docker-compose.yml").read_text()
    (job,) = script.schedule(at[1], script.night).get_jobs()
    assert (job.func, job.max_instances, job.coalesce) == (script.night, 1, True)
    evening = datetime(2026, 1, 5, 22, 0, tzinfo=UTC)
    fires = job.trigger.get_next_fire_time(None, evening)
    assert (fires.hour, fires.minute) == (3, 30)


def test_a_line_that_is_no_crontab_is_an_error(script: ModuleType) -> None:
    with pytest.raises(ValueError, match="Wrong number of fields"):
        script.schedule("sometimes", script.night)
