import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    """Its telemetry would send an event at import and leave files in the home directory."""
    code = (
        "import models.encoder_openvino, sys;"
        "print(sys.modules['openvino_telemetry'], [name for name in sys.modules if name.startswith('openvino_telem')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "CI": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "None ['openvino_telemetry']\n"
    assert not (tmp_path / "intel").exists()


def test_everybody_takes_openvino_from_there() -> None:
    rooms = [path for room in ("app", "models", "index_builder") for path in (ROOT / room).rglob("*.py")]
    importers = {path.name for path in rooms if "import openvino" in path.read_text(encoding="utf-8")}
    assert importers == {"openvino_runtime.py"}


def test_a_signal_finds_its_stack_after_a_graph_ended_in_another_thread() -> None:
    """As when an artifact with another encoder takes over, and then the service is told to reload or to stop."""
    code = """
import os, signal, threading
import numpy as np
from models.openvino_runtime import CORE, ov

number = ov.opset13.parameter([1], np.float32)
graphs = [CORE.compile_model(ov.Model([ov.opset13.relu(number)], [number]), "CPU", {})]
ending = threading.Thread(target=graphs.clear)
ending.start()
ending.join()
signal.signal(signal.SIGHUP, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGHUP)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "heard\n")


def test_nobody_makes_a_core_of_their_own() -> None:
    rooms = [path for room in ("app", "models", "index_builder") for path in (ROOT / room).rglob("*.py")]
    assert {path.name for path in rooms if "Core()" in path.read_text(encoding="utf-8")} == {"openvino_runtime.py"}
