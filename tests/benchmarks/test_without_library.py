"""A module that runs without the compiled library finds none, wherever it looks."""

import subprocess
import sys

from benchmarks import ROOT

_LOOK = """
import sys
from models.native import candidates, encoder, library, matching, rescore, search
print([m.LIBRARY for m in (candidates, encoder, library, matching, rescore, search)], sys.argv[1:])
"""


def test_nobody_finds_a_library(tmp_path) -> None:
    (tmp_path / "looks.py").write_text(_LOOK)
    command = [sys.executable, "-m", "benchmarks.without_library", "looks", "a", "b"]
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[0] == "[None, None, None, None, None, None] ['a', 'b']"
