"""What a build reads: the catalogue and the interactions, matched to each other, with what had to be left out."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index_builder.catalogue import Catalogue, read_catalogue
from index_builder.config import BuildConfig
from index_builder.event_rows import join, read_event_rows
from index_builder.event_times import TimeKind
from index_builder.interactions import RawInteractions, read_interactions
from index_builder.item_times import item_times
from index_builder.live_rows import LiveRows, fold, read_live_rows
from index_builder.rejects import EXAMPLES, Rejects
from index_builder.report import EventCounts, InteractionCounts
from models.text import TextRecipe
from models.training.interactions import Interactions
from models.types import JsonValue


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything read.

    Attributes:
        catalogue: The items.
        interactions: With items of the catalogue; None without the section.
        counts: What became of the interaction rows, the taken events among them.
        events: What became of the taken events; None without [feedback].
        rejects: By table, as the report shows it.
        warnings: What a person should look at.
        live_seq: Changes of live items up to this number are in the catalogue.
        time_kind: How times were understood; None where there are none.
        item_times: When each item came to be, NaN where that isn't known, shape `(n_items,)`; None: of no item, or
            there is nothing to learn from it.
    """

    catalogue: Catalogue
    interactions: Interactions | None
    counts: InteractionCounts | None
    events: EventCounts | None
    rejects: dict[str, dict[str, JsonValue]]
    warnings: list[str]
    live_seq: int = 0
    time_kind: TimeKind | None = None
    item_times: NDArray[np.float64] | None = None


def read_inputs(config: BuildConfig, recipe: TextRecipe, *, rejects: Path, live_since: int | None = None) -> Inputs:
    """Reads both tables, and the events that were taken from the service's log.

    Args:
        config: What to read.
        recipe: How item texts are cleaned.
        rejects: Folder for the rows that can't be used.
        live_since: Changes of live items above this number go into the catalogue; None leaves them out.

    Raises:
        StoreUnavailableError: The store of live items can't be reached.
        DataError: A table can't be used, or too much of it is bad.
    """
    with Rejects(rejects / "catalogue.jsonl") as bad_items, Rejects(rejects / "interactions.jsonl") as bad_rows:
        raw, events, event_warnings = _read_raw(config, bad_rows)
        catalogue = read_catalogue(
            config.catalogue,
            to_text=recipe.item_text,
            named=raw.named if raw else frozenset(),
            rejects=bad_items,
        )
    live = LiveRows([], 0, 0) if live_since is None else read_live_rows(config, live_since)
    catalogue = replace(catalogue, items=fold(catalogue.items, live, config, recipe))
    summaries = {"catalogue": bad_items.summary(catalogue.n_rows)}
    warnings = [*catalogue.warnings, *event_warnings]
    if raw is not None and config.interactions is None and raw.named.isdisjoint(item.id for item in catalogue.items):
        warnings.append(f"none of the {len(raw.users)} taken positives names an item of the catalogue")
        raw = None
    if raw is None:
        return Inputs(catalogue, None, None, events, summaries, warnings, live.cut)
    summaries["interactions"] = bad_rows.summary(raw.n_rows)
    interactions, counts, unknown_items = _match_items(raw, catalogue)
    if raw.time_kind is TimeKind.TEXT and config.interactions is not None:
        warnings.append(
            f"interactions.time, the column {config.interactions.time}, holds text, which orders events as text sorts;"
            " where it means dates, write them as ISO 8601, such as 2024-12-31T23:59"
        )
    times, untimely = item_times(catalogue.items, config.catalogue.time)
    warnings += [*unknown_items, *untimely]
    return Inputs(
        catalogue, interactions, counts, events, summaries, warnings, live.cut, raw.time_kind, item_times=times
    )


def _read_raw(config: BuildConfig, rejects: Rejects) -> tuple[RawInteractions | None, EventCounts | None, list[str]]:
    """Returns the interactions of the table and of the taken events; None where there is neither."""
    table = None if config.interactions is None else read_interactions(config.interactions, rejects=rejects)
    if config.feedback is None:
        return table, None, []
    events = read_event_rows(
        config.feedback, min_rating=None if config.interactions is None else config.interactions.min_rating
    )
    raw = join(table, events)
    warnings = []
    if events.counts.unknown_types:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in list(events.counts.unknown_types.items())[:EXAMPLES])
        n_events = sum(events.counts.unknown_types.values())
        warnings.append(f"{n_events} events are of types without a weight: {kinds}; name them in feedback.weights")
    if table is not None and table.times is None and len(events.positives.users):
        warnings.append("interactions.time is not set, so the order of the taken events is lost too; set it")
    return raw if len(raw.users) else None, events.counts, warnings


def _match_items(raw: RawInteractions, catalogue: Catalogue) -> tuple[Interactions, InteractionCounts, list[str]]:
    interactions, unknown = raw.to_interactions({item.id: row for row, item in enumerate(catalogue.items)})
    warnings = []
    if unknown.n_rows:
        warnings.append(
            f"{unknown.n_rows} interactions name {unknown.n_ids} items that the catalogue doesn't have,"
            f" such as {', '.join(unknown.examples)}"
        )
    counts = InteractionCounts(
        n_rows=raw.n_rows,
        n_used=len(interactions.items),
        n_users=len(interactions.user_ids),
        n_below_min_rating=raw.n_below_rating,
        n_unrated=raw.n_unrated,
        n_unknown_items=unknown.n_rows,
    )
    return interactions, counts, warnings
