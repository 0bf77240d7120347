"""Memory of a process and its children."""

import os
import subprocess
import sys

from benchmarks.machine import resident_mib


def test_a_childs_memory_counts_as_long_as_it_runs() -> None:
    alone = resident_mib(os.getpid())
    assert alone > 10
    hold = "import sys; held = b'x' * (64 << 20); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert resident_mib(child.pid) > 64
        assert resident_mib(os.getpid()) > alone + 60
    assert resident_mib(child.pid) == 0
