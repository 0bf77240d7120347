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
