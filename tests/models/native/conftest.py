"""What several tests of the compiled encoder share."""

from functools import cache
from pathlib import Path

import pytest

from tests.models.native.tiny_berts import MODELS
from tests.tiny_model import MAX_POSITIONS, write_tiny_model


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory):
    """Writes each model once."""

    @cache
    def write(name: str) -> Path:
        folder = tmp_path_factory.mktemp("native") / "model"
        # Larger weights make attention so sharp that rounding decides whom it looks at.
        return write_tiny_model(folder, max_seq_length=MAX_POSITIONS, initializer_range=0.15, **MODELS[name])

    return write
