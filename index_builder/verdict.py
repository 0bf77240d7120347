"""The gate's verdict as a value: figures, notes, users whose candidates got worse; part of a night's report."""

from pydantic import BaseModel, ConfigDict, computed_field

from models.training.split import Task


class Figure(BaseModel):
    """One figure and what became of it.

    Attributes:
        name: Such as `recall@50 by history`.
        new: Tonight's.
        live: The live artifact's; null where the figure has none.
        limit: What `new` was held against.
        passed: Whether it may be published.
        says: The figure as a clause for a person.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    new: float
    live: float | None
    limit: float
    passed: bool
    says: str


class Worse(BaseModel):
    """A user whose candidates got worse.

    Attributes:
        user_id: Whose.
        task: What the user was known by.
        new: Recall of tonight's candidates.
        live: Recall of the live artifact's.
    """

    model_config = ConfigDict(frozen=True)

    user_id: str
    task: Task
    new: float
    live: float


class Verdict(BaseModel):
    """What the gate says.

    Attributes:
        against: The live artifact.
        figures: Each figure.
        notes: What was not compared, and why.
        worse: Users whose candidates got worse, the worst first.
        forced: Whether it was published although it did not pass.
    """

    model_config = ConfigDict(frozen=True)

    against: str
    figures: list[Figure]
    notes: list[str]
    worse: list[Worse] = []
    forced: bool = False

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way to say it
    @property
    def passed(self) -> bool:
        """Whether every figure is within its tolerance."""
        return all(figure.passed for figure in self.figures)

    def line(self) -> str:
        """Returns the verdict as one line."""
        if self.passed:
            return f"the gate passed against {self.against}: {len(self.figures)} figures within their tolerances"
        failed = "; ".join(figure.says for figure in self.figures if not figure.passed)
        if self.forced:
            return f"the gate said no and was overruled by --force: {failed}"
        return f"the gate says no, {self.against} stays live: {failed}"
