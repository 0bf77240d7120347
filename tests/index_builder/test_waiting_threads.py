"""A build shares its cores: threads that wait for each other must not spin."""

import os
import subprocess
import sys


def test_waiting_threads_sleep_unless_somebody_decided_otherwise() -> None:
    code = "import os, index_builder; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for given, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        ran = subprocess.run([sys.executable, "-c", code], env={**environment, **given}, capture_output=True, text=True)
        assert ran.stdout.split() == [expected]
