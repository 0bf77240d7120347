"""What tests of taken events share: events, and what the files hold."""

from typing import Any

import pyarrow.parquet as pq

from index_builder.config import FeedbackConfig
from index_builder.feedback import read_taken
from models.events import Event


def event(event_id: str, user: str = "u", **more: Any) -> Event:
    raw = {"event_id": event_id, "user_id": user, "item_id": "i", "type": "click", "timestamp": 100.0}
    return Event.model_validate(raw | more)


def rows_of(config: FeedbackConfig) -> list[dict[str, Any]]:
    files = read_taken(config.events).files
    rows = [row for name in files for row in pq.read_table(config.events / name).to_pylist()]
    assert len(rows) == sum(files.values())
    return rows


def ids_of(config: FeedbackConfig) -> list[str]:
    return [row["event_id"] for row in rows_of(config)]
