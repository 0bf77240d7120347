"""The house: rooms import only downwards, and serving needs neither torch nor a training library."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_import_rules_hold() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_serving_imports_no_heavy_library() -> None:
    """Importing the service and a CPU encoder loads neither torch nor tables."""
    code = (
        "import sys, app.factory, app.engine, models.encoder_openvino;"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'pandas', 'pyarrow', 'nncf', 'models.training'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
