"""The benchmark reads folders of two tables in place, and records what the evaluation says."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.quality import rows, write_toml
from index_builder.config import load_config
from models.training.evaluate import COLD
from models.training.evaluation import (
    Comparison,
    Cost,
    DataFacts,
    Evaluation,
    RankerResult,
    Ratio,
    SliceResult,
    TaskResult,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "a data set"
    folder.mkdir()
    pq.write_table(pa.table({"item_id": ["a"], "title": ["t"], "text": ["t"]}), folder / "items.parquet")
    return folder


def interactions(data: Path, **columns: list[object]) -> None:
    table = pa.table({"user_id": ["u", "v"], "item_id": ["a", "a"], **columns})
    pq.write_table(table, data / "interactions.parquet")


def test_the_data_stays_where_it_is(data: Path, tmp_path: Path) -> None:
    interactions(data, timestamp=[1, 2], text=["said", None])
    config = load_config(write_toml(data, tmp_path, ["title", "text"], None))
    assert config.interactions is not None
    assert config.catalogue.path == data / "items.parquet"
    assert config.catalogue.text == ["title", "text"]
    assert config.interactions.path == data / "interactions.parquet"
    assert (config.interactions.time, config.interactions.text) == ("timestamp", "text")
    assert config.publish.artifacts == tmp_path / "artifacts"
    assert config.learning.enabled


def test_columns_that_hold_nothing_are_not_read(data: Path, tmp_path: Path) -> None:
    interactions(data, timestamp=[None, None], position=[0, 1], text=[None, None])
    config = load_config(write_toml(data, tmp_path, ["text"], None))
    assert config.interactions is not None
    assert (config.interactions.time, config.interactions.text) == ("position", None)


def test_interactions_can_be_left_out(data: Path, tmp_path: Path) -> None:
    interactions(data, kind=["ask", "answer"])
    config = load_config(write_toml(data, tmp_path, ["text"], "kind=ask"))
    assert config.interactions is not None
    assert config.interactions.time is None
    assert pq.read_table(config.interactions.path)["user_id"].to_pylist() == ["v"]


def test_the_last_of_each_can_be_held_out_whatever_time_it_is(tmp_path: Path, data: Path) -> None:
    table = {"user_id": ["v", "u", "v", "u"], "item_id": ["d", "b", "c", "a"], "timestamp": [40, 30, 20, 30]}
    pq.write_table(pa.table(table), data / "interactions.parquet")
    config = load_config(write_toml(data, tmp_path, ["text"], None, last=True))
    assert config.interactions is not None
    assert config.interactions.time == "position"
    written = pq.read_table(config.interactions.path)
    assert written["item_id"].to_pylist() == ["a", "b", "c", "d"]
    assert written["position"].to_pylist() == [0, 1, 0, 1]


def test_the_record_has_rankers_comparisons_and_cost() -> None:
    figures = {f"recall@{k}": k / 1_000 for k in (10, 20, 50, 100)} | {"ndcg@10": 0.5, "coverage@50": 0.25}
    cold = SliceResult(n_cases=3, recall=dict.fromkeys((10, 20, 50, 100), 0.5))
    result = TaskResult(figures=figures, curve={}, slices={COLD: cold}, popularity={})
    evaluation = Evaluation(
        data=DataFacts(
            n_items=1,
            n_users=1,
            n_interactions=2,
            n_past=1,
            holdout="last",
            cut=None,
            seed=0,
            n_cases={"text": 7},
            n_cases_found={"text": 7},
            n_unknown=0,
        ),
        bands={},
        targets={},
        rankers=[RankerResult(name="product", kind="product", tasks={"text": result}, seconds=1)],
        comparisons=[
            Comparison(
                task="text",
                figure="recall@50",
                ours="product",
                theirs="BM25",
                ours_value=0.3,
                theirs_value=0.2,
                difference=0.1,
                low=0.05,
                high=0.15,
                ratio=Ratio(value=1.5, low=1.2, high=1.8),
            )
        ],
        cost=Cost(training_seconds=2.5, peak_memory_bytes=3_000_000_000, artifact_bytes=4_000_000),
    )
    ranker, of_cold, comparison, cost = rows("shop", evaluation)
    assert ranker == (
        "shop, text, product",
        "R@10 0.0100 R@20 0.0200 R@50 0.0500 R@100 0.1000, N@10 0.5000, coverage@50 0.250; 7 cases, holdout last",
    )
    assert of_cold[0] == "shop, text, product, cold items among cold items"
    assert of_cold[1] == "R@10 0.5000 R@20 0.5000 R@50 0.5000 R@100 0.5000; 3 cases"
    assert comparison[1].endswith("+0.1000 [+0.0500, +0.1500], ratio 1.50 [1.20, 1.80]")
    assert cost[1] == "learnt in 2.5 s, peak memory 3.00 GB, artifact 4.0 MB"
