"""What a build reads: the catalogue and the interactions, matched to each other, with what had to be left out."""

from dataclasses import dataclass
from pathlib import Path

from index_builder.catalogue import Catalogue, read_catalogue
from index_builder.config import BuildConfig
from index_builder.interactions import RawInteractions, read_interactions
from index_builder.rejects import Rejects
from index_builder.report import InteractionCounts
from models.text import TextRecipe
from models.training.interactions import Interactions
from models.types import JsonValue


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything read.

    Attributes:
        catalogue: The items.
        interactions: With items of the catalogue; None without the section.
        counts: What became of the interaction rows.
        rejects: By table, as the report shows it.
        warnings: What a person should look at.
    """

    catalogue: Catalogue
    interactions: Interactions | None
    counts: InteractionCounts | None
    rejects: dict[str, dict[str, JsonValue]]
    warnings: list[str]


def read_inputs(config: BuildConfig, recipe: TextRecipe, *, rejects: Path) -> Inputs:
    """Reads both tables.

    Args:
        config: What to read.
        recipe: How item texts are cleaned.
        rejects: Folder for the rows that can't be used.

    Raises:
        DataError: A table can't be used, or too much of it is bad.
    """
    with Rejects(rejects / "catalogue.jsonl") as bad_items, Rejects(rejects / "interactions.jsonl") as bad_rows:
        raw = None
        if config.interactions is not None:
            raw = read_interactions(config.interactions, rejects=bad_rows)
        catalogue = read_catalogue(
            config.catalogue,
            to_text=recipe.item_text,
            named=raw.named if raw else frozenset(),
            rejects=bad_items,
        )
    summaries = {"catalogue": bad_items.summary(catalogue.n_rows)}
    if raw is None:
        return Inputs(catalogue, None, None, summaries, list(catalogue.warnings))
    summaries["interactions"] = bad_rows.summary(raw.n_rows)
    interactions, counts, warnings = _match_items(raw, catalogue)
    return Inputs(catalogue, interactions, counts, summaries, [*catalogue.warnings, *warnings])


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
        n_unknown_items=unknown.n_rows,
    )
    return interactions, counts, warnings
