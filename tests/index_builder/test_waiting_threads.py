"""A build beside other work shares its cores: threads that wait for each other must not spin then."""

import os
import subprocess
import sys

import pytest

from index_builder import spinning_hurts


@pytest.mark.parametrize(
    ("load", "cores", "hurts"), [(0.0, 2, False), (0.9, 2, False), (1.0, 2, True), (3.0, 8, False)]
)
def test_it_hurts_where_half_of_the_cores_are_busy(load: float, cores: int, hurts: bool) -> None:
    assert spinning_hurts(load, cores) is hurts


@pytest.mark.parametrize(
    ("load", "given", "expected"), [(0, "", "None"), (99, "", "PASSIVE"), (99, "ACTIVE", "ACTIVE")]
)
def test_waiting_threads_sleep_on_a_busy_machine_unless_somebody_decided_otherwise(
    load: float, given: str, expected: str
) -> None:
    code = f"import os; os.getloadavg = lambda: ({load}, 0, 0)\n"
    code += "import index_builder; print(os.environ.get('OMP_WAIT_POLICY'))"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [expected]
