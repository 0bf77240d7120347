"""Runs the night on a schedule, in a container. APScheduler keeps the time; each night is a process of its own."""

import os
import subprocess
from collections.abc import Callable

from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.cron import CronTrigger

# A night that the machine slept through is made up for within an hour.
_LATE_SECONDS = 3_600


def night() -> None:
    """Lives through one night; its report and its exit code go to the container's log."""
    code = subprocess.run(["sh", "/usr/local/bin/build_in_container", "nightly"], check=False).returncode
    print(f"nightly: exit code {code}", flush=True)


def schedule(at: str, run: Callable[[], None]) -> BlockingScheduler:
    """Returns a scheduler that runs one night at a time.

    Args:
        at: Minute, hour, day, month, weekday, as in a crontab; weekdays by name, as APScheduler counts from Monday.
        run: The night.
    """
    scheduler = BlockingScheduler()
    trigger = CronTrigger.from_crontab(at)
    scheduler.add_job(run, trigger, coalesce=True, max_instances=1, misfire_grace_time=_LATE_SECONDS)
    return scheduler


if __name__ == "__main__":
    schedule(os.environ.get("NIGHTLY_AT", "30 3 * * *"), night).start()
