from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from models.encoder import Prompts
from models.errors import DataError, EncoderError
from models.training.finetune import Finetuned, FinetuneSettings, finetune
from models.training.finetune_pairs import PairSet, make_pairs
from models.training.finetune_trainer import newest_checkpoint
from models.training.interactions import Interactions
from tests.models.training.finetune_data import CLEAN, ITEM_TEXTS, interactions

SETTINGS = {
    "mode": "full",
    "epochs": 50,
    "max_steps": 30,
    "batch": 16,
    "learning_rate": 1e-3,
    "layers": 1,
    "negatives": 0,
    "max_tokens": 16,
    "prompts": Prompts(user="query: ", item="passage: "),
}


class Killed(BaseException):
    pass


class Run:
    """One fine-tuning of the tiny model, and what it said."""

    def __init__(self, folder: Path, tiny_model: Path) -> None:
        self.folder, self.tiny_model = folder, tiny_model
        self.said: list[str] = []
        self.progress: list[int] = []

    def __call__(self, *, die_at: int | None = None, pairs: PairSet | None = None, **changed: object) -> Finetuned:
        self.model = SentenceTransformer(str(self.tiny_model), device="cpu", local_files_only=True).eval()
        self.progress = []

        @contextmanager
        def bar(total: int) -> Iterator:
            def advance(n: int) -> None:
                self.progress.append(n)
                if sum(self.progress) == die_at:
                    raise Killed

            yield advance

        return finetune(
            self.model,
            pairs or make_pairs(interactions(), ITEM_TEXTS, CLEAN),
            FinetuneSettings(**(SETTINGS | changed)),
            checkpoints=self.folder / "checkpoints",
            device="cpu",
            say=self.said.append,
            bar=bar,
        )

    def changed(self) -> set[str]:
        """Names of the weights that are not the tiny model's."""
        before = SentenceTransformer(str(self.tiny_model), device="cpu", local_files_only=True).state_dict()
        after = self.model.state_dict()
        assert before.keys() == after.keys()
        return {name for name, weight in after.items() if not torch.equal(weight, before[name])}

    def vectors(self) -> np.ndarray:
        return self.model.encode(ITEM_TEXTS[:5], show_progress_bar=False)


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path) -> Run:
    return Run(tmp_path, tiny_model)


@pytest.mark.parametrize("mode", ["full", "last_layers", "lora"])
def test_the_loss_falls(run: Run, mode: str) -> None:
    losses = run(mode=mode).losses
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:5])


def test_last_layers_change_and_nothing_else(run: Run) -> None:
    run(mode="last_layers", max_steps=3)
    changed = run.changed()
    assert changed
    assert all(".encoder.layer.1." in name for name in changed)
    assert all(weight.requires_grad for weight in run.model.parameters())


def test_full_changes_the_embeddings_too(run: Run) -> None:
    run(mode="full", max_steps=3)
    assert any("word_embeddings" in name for name in run.changed())


def test_more_layers_than_there_are_is_an_error(run: Run) -> None:
    with pytest.raises(EncoderError, match="finetune_layers is 3, the model has 2; ask for fewer"):
        run(mode="last_layers", layers=3)


def test_lora_leaves_a_plain_model(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    """It saves and loads as it did before, with other weights, and says the same afterwards."""
    run(mode="lora", max_steps=5)
    run.model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    names = {str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved").rglob("*")}
    assert names == {str(path.relative_to(tiny_model)) for path in tiny_model.rglob("*")}
    assert load_file(tmp_path / "saved/model.safetensors").keys() == load_file(tiny_model / "model.safetensors").keys()
    loaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(loaded.encode(ITEM_TEXTS[:5], show_progress_bar=False), run.vectors(), atol=1e-6)
    assert run.changed()


@pytest.mark.parametrize("mode", ["last_layers", "lora"])
def test_a_killed_run_continues_from_its_checkpoint_and_comes_to_the_same(run: Run, mode: str) -> None:
    run(mode=mode)
    through = run.vectors()
    for path in (run.folder / "checkpoints").iterdir():
        for file in path.iterdir():
            file.unlink()
    with pytest.raises(Killed):
        run(mode=mode, die_at=20)
    done = run(mode=mode)
    assert (done.n_steps, done.n_resumed) == (30, 18)
    assert run.progress[0] == 18
    assert "continued from checkpoint-18" in run.said[-2]
    np.testing.assert_allclose(run.vectors(), through, atol=1e-4)


def test_a_checkpoint_that_was_not_written_to_its_end_is_deleted(tmp_path: Path) -> None:
    for number, state in ((3, '{"global_step": 3}'), (6, '{"global_st'), (9, None)):
        (tmp_path / f"checkpoint-{number}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{number}/trainer_state.json").write_text(state)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-3"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


def test_a_seed_repeats_and_another_does_not(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    vectors = []
    for number, seed in enumerate((0, 0, 1)):
        again = Run(tmp_path / str(number), tiny_model)
        again(seed=seed, max_steps=5)
        vectors.append(again.vectors())
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2])


@pytest.mark.parametrize("negatives", [1, 2])
def test_hard_negatives_are_mined(run: Run, negatives: int) -> None:
    assert run(negatives=negatives, max_steps=3).n_steps == 3


def test_a_large_batch_goes_through_in_parts(run: Run) -> None:
    assert run(batch=80, max_steps=2).n_steps == 2


def test_epochs_bound_the_steps(run: Run) -> None:
    once = run(epochs=1, max_steps=1000).n_steps
    assert run(epochs=0.5, max_steps=1000).n_steps == -(-once // 2)


def test_it_says_what_it_does_and_how_long_it_takes(run: Run) -> None:
    run(mode="last_layers", max_steps=8)
    first, estimate = run.said
    assert first.startswith("fine-tuning (last_layers) on cpu: ")
    assert first.endswith(" pairs, 8 steps of up to 16")
    assert estimate.startswith("fine-tuning (last_layers) on cpu: about ")
    assert " to go, by the first 5 steps (" in estimate
    assert run.progress == [0] + [1] * 8


def test_one_user_makes_no_batch(run: Run) -> None:
    alone = Interactions(np.zeros(3, np.int64), ("u",), np.arange(3))
    with pytest.raises(DataError, match="pairs make no batch: two users with different items are needed at least"):
        run(pairs=make_pairs(alone, ITEM_TEXTS, {}))


def test_the_length_that_the_model_reads_stays_its_own(run: Run) -> None:
    run(max_steps=1, max_tokens=5)
    assert run.model.max_seq_length == 24
