import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from index_builder.progress import progress

ROOT = Path(__file__).parents[2]


def test_away_from_a_terminal_there_is_a_plain_line_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("encoding", 200) as advance:
        for _ in range(100):
            advance(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"encoding: {n}/200" for n in range(20, 201, 20)]


@pytest.mark.parametrize(
    ("total", "steps", "lines"),
    [(3, [1, 1, 1], ["1/3", "2/3", "3/3"]), (100, [95, 5], ["95/100", "100/100"]), (5, [], []), (1, [1], ["1/1"])],
)
def test_big_steps_give_few_lines(
    capsys: pytest.CaptureFixture[str], total: int, steps: list[int], lines: list[str]
) -> None:
    with progress("x", total) as advance:
        for step in steps:
            advance(step)
    assert capsys.readouterr().err.splitlines() == [f"x: {line}" for line in lines]


def test_nothing_to_do_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("x", 0):
        pass
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar() -> None:
    code = (
        "from index_builder.progress import progress\nwith progress('encoding', 2) as advance: advance(1); advance(1)"
    )
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=slave, check=True)
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:  # a pseudo terminal ends so on Linux
        pass
    os.close(master)
    assert b"encoding" in shown
    assert b"\x1b[" in shown
    assert b"2/2" in shown
