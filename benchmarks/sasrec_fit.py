"""RecTools' SASRec over sequences, its epochs chosen on validation; knows nothing of this project.

Run by an environment that `scripts/rectools_venv.sh` made: `python benchmarks/sasrec_fit.py FOLDER`. The folder holds
validation.npz and test.npz: `users`, `items`, `places` of the events to fit on, and `asked` (case), `history` (item) of
what is known of each case, oldest first; validation.npz has `case` and `target` of the right answers, too. Writes
ranked.npy (n_cases, 100) for the test, -1 where a list is shorter, and facts.json.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # of another environment, as the next two
from pytorch_lightning import seed_everything  # type: ignore[import-not-found]
from rectools.dataset import Dataset  # type: ignore[import-not-found]
from rectools.models import SASRecModel  # type: ignore[import-not-found]

_K = 100
_JUDGED_AT = 50
_MAX_EPOCHS = 30
_PATIENCE = 5  # it starts slowly
_MODEL = {"n_blocks": 2, "n_heads": 4, "n_factors": 128, "session_max_len": 20, "loss": "softmax", "lr": 1e-3}


def main(folder: Path) -> None:
    """Chooses the epochs, fits on the whole past, ranks the test's cases."""
    start = time.perf_counter()
    validation, test = np.load(folder / "validation.npz"), np.load(folder / "test.npz")
    recalls: list[float] = []
    model, past = _model(), _events(validation["users"], validation["items"], validation["places"])
    for _ in range(_MAX_EPOCHS):
        model.fit_partial(past, min_epochs=1, max_epochs=1)
        recalls.append(_recall(_ranked(model, validation), validation))
        print(f"epoch {len(recalls)}: validation recall@{_JUDGED_AT} {recalls[-1]:.4f}", flush=True)
        best = int(np.argmax(recalls)) + 1
        if len(recalls) - best >= _PATIENCE:
            break
    model = _model()
    model.fit_partial(_events(test["users"], test["items"], test["places"]), min_epochs=best, max_epochs=best)
    np.save(folder / "ranked.npy", _ranked(model, test))
    facts = {"epochs": best, "validation": recalls, "seconds": time.perf_counter() - start}
    (folder / "facts.json").write_text(json.dumps(facts))


def _model() -> SASRecModel:
    seed_everything(0, verbose=False)
    return SASRecModel(**_MODEL, deterministic=True)


def _events(users: np.ndarray, items: np.ndarray, places: np.ndarray) -> Dataset:
    moments = pd.to_datetime(places, unit="s")
    return Dataset.construct(pd.DataFrame({"user_id": users, "item_id": items, "weight": 1, "datetime": moments}))


def _ranked(model: SASRecModel, cases: np.ndarray) -> np.ndarray:
    known = _events(cases["asked"], cases["history"], np.arange(len(cases["asked"])))
    asked = np.unique(cases["asked"])
    found = model.recommend(asked, known, k=_K, filter_viewed=True, on_unsupported_targets="ignore")
    ranked = np.full((asked.max() + 1, _K), -1, np.int64)
    ranked[found["user_id"], found["rank"] - 1] = found["item_id"]
    return ranked


def _recall(ranked: np.ndarray, cases: np.ndarray) -> float:
    """Returns |found| / min(k, |right answers|), the mean over cases."""
    wanted = np.bincount(cases["case"], minlength=len(ranked))
    found = (ranked[cases["case"], :_JUDGED_AT] == cases["target"][:, None]).any(axis=1)
    hits = np.bincount(cases["case"], found, minlength=len(ranked))
    return float((hits / np.minimum(_JUDGED_AT, wanted)).mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
