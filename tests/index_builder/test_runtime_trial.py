from pathlib import Path

import numpy as np

from index_builder.config import load_config
from index_builder.demo import write_demo
from index_builder.inputs import read_inputs
from index_builder.runtime_trial import make_trial
from models.item_index import build_index
from models.text import TextRecipe
from tests.fakes import FakeEncoder

RECIPE = TextRecipe()


def trial_of(folder: Path, **changes: object):
    write_demo(folder, source="small")
    config = load_config(folder / "recall.toml").model_copy(update=changes)
    inputs = read_inputs(config, RECIPE, rejects=folder / "rejects")
    vectors = FakeEncoder().encode_items([item.text for item in inputs.catalogue.items], lambda n: None)
    return make_trial(inputs, RECIPE, build_index(vectors, "flat", params={}), None), inputs


def test_texts_are_those_of_users_with_what_they_consumed_and_pieces_of_items(tmp_path: Path) -> None:
    trial, inputs = trial_of(tmp_path)
    written = [text for text, rows in zip(trial.texts, trial.relevant, strict=True) if len(rows)]
    consumed = {
        (RECIPE.clean(text), row)
        for text, row in zip(inputs.interactions.texts, inputs.interactions.items.tolist(), strict=True)
        if text
    }
    assert written
    for text, rows in zip(trial.texts, trial.relevant, strict=True):
        assert {(text, row) for row in rows.tolist()} <= consumed
    whole = " ".join(item.text for item in inputs.catalogue.items)
    assert all(text in whole for text in trial.texts[len(written) :])


def test_no_text_is_tried_that_was_calibrated_on(tmp_path: Path) -> None:
    trial, _ = trial_of(tmp_path)
    assert trial.calibration
    assert not set(trial.texts) & set(trial.calibration)


def test_without_interactions_there_are_pieces_alone(tmp_path: Path) -> None:
    trial, _ = trial_of(tmp_path, interactions=None)
    assert trial.texts
    assert all(len(rows) == 0 for rows in trial.relevant)


def test_equal_seeds_draw_alike_and_candidates_are_the_nearest_items(tmp_path: Path) -> None:
    trial, inputs = trial_of(tmp_path / "one")
    again, _ = trial_of(tmp_path / "two")
    assert trial.texts == again.texts
    embeddings = FakeEncoder().encode_items(trial.texts, lambda n: None)
    rows = trial.rank(embeddings)
    items = FakeEncoder().encode_items([item.text for item in inputs.catalogue.items], lambda n: None)
    assert rows.shape == (len(trial.texts), len(items) // 10)
    best = np.sort(embeddings @ items.T, axis=1)[:, ::-1]
    np.testing.assert_allclose(np.take_along_axis(embeddings @ items.T, rows, axis=1), best[:, : rows.shape[1]])
