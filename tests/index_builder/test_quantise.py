import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from index_builder.quantise import is_quantised, quantise
from models.encoder_openvino import GRAPH, GRAPH_RUNTIMES, OpenVINOEncoder
from tests.tiny_model import Prepared, real_texts

TEXTS = real_texts()[:40]
INT8 = ["openvino-int8-weights", "openvino-int8"]


@pytest.fixture
def folder(tiny: Prepared, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.folder, tmp_path / "encoder"))


def test_int8_graphs_stand_beside_the_encoders_own_and_come_near_it(
    tiny: Prepared, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.encoder_openvino.GraphRuntime.runs_here", True)
    whole, before = (folder / GRAPH).read_bytes(), {file.name for file in folder.iterdir()}
    quantise(folder, ["openvino-bf16", *INT8], texts=TEXTS, facts=tiny.facts)
    files = {file.name for file in folder.iterdir()}
    assert {file for file in files if is_quantised(f"encoder/{file}")} == files - before
    assert len(files - before) == 4
    assert (folder / GRAPH).read_bytes() == whole
    reference = OpenVINOEncoder(folder, tiny.facts, 1).encode_items(TEXTS, lambda n: None)
    for runtime in INT8:
        vectors = OpenVINOEncoder(folder, tiny.facts.run_by(runtime), 1).encode_items(TEXTS, lambda n: None)
        cosines = (reference * vectors).sum(axis=1)
        assert cosines.mean() > 0.95
        assert (folder / GRAPH_RUNTIMES[runtime].graph).with_suffix(".bin").exists()
    assert capsys.readouterr().out == ""


def test_a_parents_graph_is_replaced_not_overwritten(tiny: Prepared, folder: Path, tmp_path: Path) -> None:
    """Its file is a hard link to the parent's."""
    graph = GRAPH_RUNTIMES["openvino-int8-weights"].graph
    (tmp_path / "parents").write_text("the parent's")
    (folder / graph).hardlink_to(tmp_path / "parents")
    quantise(folder, ["openvino-int8-weights"], texts=TEXTS, facts=tiny.facts)
    assert (tmp_path / "parents").read_text() == "the parent's"
    assert (folder / graph).read_bytes() != b"the parent's"


def test_a_full_disk_is_an_error_that_says_what_to_do(
    tiny: Prepared, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")  # OpenVINO's words for it

    monkeypatch.setattr("index_builder.quantise.ov.save_model", fail)
    with pytest.raises(OSError, match=f"{folder} can't be written: basic_ios.*; make room on its disk"):
        quantise(folder, ["openvino-int8-weights"], texts=TEXTS, facts=tiny.facts)


def test_a_model_that_cannot_be_quantised_gets_no_graph(
    tiny: Prepared, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / GRAPH).write_text("garbage")
    with caplog.at_level(logging.WARNING):
        quantise(folder, INT8, texts=TEXTS, facts=tiny.facts)
    assert "there is no openvino-int8: nncf can't quantise the model" in caplog.text
    assert not list(folder.glob("openvino_int8*"))


def test_vectors_are_finite(tiny: Prepared, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.encoder_openvino.GraphRuntime.runs_here", True)
    quantise(folder, ["openvino-int8"], texts=["tea"], facts=tiny.facts)
    vector, _ = OpenVINOEncoder(folder, tiny.facts.run_by("openvino-int8"), 1).encode_user("")
    assert np.isfinite(vector).all()
