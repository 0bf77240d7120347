"""A full disk, however a library says it."""

from pathlib import Path

import pytest
from safetensors import SafetensorError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from models.disk import writing
from models.errors import EncoderError

FULL = "No space left on device (os error 28)"


@pytest.mark.parametrize("error", [OSError(28, FULL), RuntimeError(FULL), SafetensorError(FULL), Exception(FULL)])
def test_it_is_one_error_that_says_what_to_do(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(OSError, match=rf"{tmp_path} can't be written: .*; make room on its disk and run it again"),
        writing(tmp_path),
    ):
        raise error


def test_tokenizers_way_to_say_it_is_known() -> None:
    with pytest.raises(OSError, match="No space left"), writing(Path("/dev")):
        Tokenizer(WordLevel({"a": 0}, unk_token="a")).save("/dev/full")


@pytest.mark.parametrize("error", [EncoderError("another"), TypeError("a bug"), KeyboardInterrupt()])
def test_other_errors_stay_as_they_are(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, writing(tmp_path):
        raise error
    assert caught.value is error
