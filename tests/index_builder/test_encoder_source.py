import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from index_builder.config import EncoderConfig
from index_builder.encoder_source import PACKAGED, export_encoder, find_model
from models.encoder import Prompts
from models.errors import EncoderError
from models.text import TextRecipe
from tests.tiny_model import MAX_POSITIONS, Prepared, write_tiny_model

ROOT = Path(__file__).parents[2]


def test_a_folder_is_a_model_named_after_itself(tiny_model: Path) -> None:
    source = find_model(str(tiny_model))
    assert (source.name, source.folder, source.revision) == ("tiny", tiny_model, None)
    assert {"model.safetensors", "tokenizer.json", "modules.json", "1_Pooling/config.json"} <= set(source.files)


@pytest.mark.real_model
def test_the_packaged_model_is_found_without_a_network() -> None:
    source = find_model(PACKAGED)
    assert source.name == PACKAGED
    assert {"model.safetensors", "tokenizer.json"} <= set(source.files)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing else")
    with pytest.raises(EncoderError, match=f"{tmp_path} holds no model; give a sentence-transformers folder or"):
        find_model(str(tmp_path))


@pytest.mark.parametrize(
    "environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}], ids=["offline", "unreachable"]
)
def test_an_unknown_name_is_named_without_a_network(environment: dict[str, str], tmp_path: Path) -> None:
    """In a process of its own: the hub's client reads its environment when it is imported."""
    code = (
        "from index_builder.encoder_source import find_model\n"
        "from models.errors import EncoderError\n"
        "try:\n"
        "    find_model('nobody/no-such-model')\n"
        "except EncoderError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "HF_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("model 'nobody/no-such-model' is no folder here and can't be fetched from a hub (")
    assert result.stdout.endswith("; give a folder, or 'all-MiniLM-L6-v2', which is packaged\n")
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("name", ["no such model", "a/b/c", "../no/such", "-", "nobody/no--such"])
def test_a_name_that_no_hub_has_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match="is no folder here and can't be fetched from a hub"):
        find_model(name)


def export(model: Path, folder: Path, **config: object):
    return export_encoder(
        find_model(str(model)), EncoderConfig(model=str(model), **config), TextRecipe(), folder=folder
    )


def test_more_dimensions_than_the_model_has_are_named(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="truncate_dim is 33, model 'tiny' has 32 dimensions; ask for fewer"):
        export(tiny_model, tmp_path / "encoder", truncate_dim=33)


def test_a_full_disk_is_one_line(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer.save_pretrained", full)
    with pytest.raises(OSError, match=rf"{tmp_path}/encoder can't be written: .*; make room on its disk and run it"):
        export(tiny_model, tmp_path / "encoder")


def test_more_tokens_than_the_model_takes_are_named(tiny_model: Path, tmp_path: Path) -> None:
    """Else the first long text would end the build, or a service's answer."""
    with pytest.raises(EncoderError, match=f"max_seq_length is {MAX_POSITIONS + 1}, model 'tiny' fails on so long"):
        export(tiny_model, tmp_path / "encoder", max_seq_length=MAX_POSITIONS + 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"garbage" * 100),
        ("config.json", b"{"),
        ("config.json", b"{}"),
        ("modules.json", b"[]"),
        ("modules.json", b'[{"idx":0,"name":"0","path":"","type":"nowhere.Module"}]'),
        ("tokenizer.json", b"\xff"),
    ],
)
def test_a_model_that_does_not_load_is_named(tmp_path: Path, tiny_model: Path, name: str, content: bytes) -> None:
    model = tmp_path / "broken"
    model.mkdir()
    for path in tiny_model.rglob("*"):
        target = model / path.relative_to(tiny_model)
        target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
    (model / name).write_bytes(content)
    with pytest.raises(EncoderError, match=f"model 'broken' in {model} doesn't load"):
        export(model, tmp_path / "encoder")


def test_the_models_own_settings_are_the_defaults(tiny: Prepared) -> None:
    assert tiny.facts.prompts == Prompts(user="query: ", item="passage: ")
    assert (tiny.facts.max_tokens, tiny.facts.dim) == (24, 32)
    assert (tiny.facts.name, tiny.facts.revision, tiny.facts.precision) == ("tiny", None, "float32")


def test_settings_win_over_the_models_own_and_a_passage_prompt_is_an_item_prompt(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model", prompts={"query": "query: ", "passage": "text: "})
    facts = export(model, tmp_path / "encoder", user_prompt="", truncate_dim=5, max_seq_length=MAX_POSITIONS)
    assert facts.prompts == Prompts(user="", item="text: ")
    assert (facts.dim, facts.max_tokens) == (5, MAX_POSITIONS)
    assert facts.query_runtime == "openvino-f32"
