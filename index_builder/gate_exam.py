"""What the gate asks both artifacts: what neither has learnt from, and what both have.

The live artifact was fitted on everything there was, so on what it alone saw it would win by memory. Fair is:
- `unseen_exam`, of a fit on the past: with a clock what came since the live artifact's cut, which its manifest holds,
  tonight's being fitted up to the cut; of a live artifact that learnt nothing the newest slice, whatever it is;
- `known_exam`, of the fit on everything: pairs that are in tonight's table and in the sample that the live artifact
  keeps. Both learnt from them, so neither has the advantage, and no clock is needed.
"""

from dataclasses import dataclass, replace

import numpy as np

from index_builder.inputs import Inputs
from index_builder.known_pairs import Kept
from models.artifact import Artifact
from models.errors import DataError
from models.training.evaluate import Exam, hold_out
from models.training.evaluation import DataFacts
from models.training.split import TASKS, Case, Split, Task, asked_of, events_by_user, holdout_of, select
from models.types import Matrix


@dataclass(frozen=True, slots=True, eq=False)
class GateExam:
    """The questions, or why there are none.

    Attributes:
        exam: With tasks of enough cases; None where nothing can be asked fairly.
        notes: What is not asked, and why.
    """

    exam: Exam | None
    notes: tuple[str, ...]


def unseen_exam(inputs: Inputs, live: Artifact, embeddings: Matrix, *, min_cases: int, seed: int = 0) -> GateExam:
    """Returns what a fit on the past and the live artifact can be asked: what neither has seen.

    Args:
        inputs: Tonight's.
        live: The live artifact.
        embeddings: Of tonight's items.
        min_cases: Tasks with fewer cases are left out.
        seed: Of what is drawn.
    """
    if inputs.interactions is None:
        return _nothing("there are no interactions")
    after = None
    if live.learnt is not None:
        facts = live.manifest.inputs
        if facts is None or facts.newest is None or holdout_of(inputs.interactions) != "clock":
            return _nothing("the live artifact learnt from these users, and no clock says what is new to it")
        after = facts.newest
        assert inputs.interactions.times is not None
        if inputs.interactions.times.max() <= after:
            return _nothing("no interaction is newer than those that the live artifact learnt from")
    try:
        exam = hold_out(inputs.interactions, embeddings, seed=seed, after=after)
    except DataError as error:
        return _nothing(f"nothing new can be asked: {error}")
    return _large_enough(exam, "that are new to the live artifact", min_cases)


def known_exam(inputs: Inputs, kept: Kept | None, embeddings: Matrix, *, min_cases: int, seed: int = 0) -> GateExam:
    """Returns what the fit on everything and the live artifact can be asked: pairs that both have learnt from.

    Args:
        inputs: Tonight's.
        kept: What became of the live artifact's pairs; None where it keeps no sample of them.
        embeddings: Of tonight's items.
        min_cases: Tasks with fewer cases are left out.
        seed: Of the pair of each user that is hidden.
    """
    if inputs.interactions is None:
        return _nothing_known("there are no interactions")
    if kept is None:
        return _nothing_known("the live artifact keeps no sample of its own")
    both = select(inputs.interactions, kept.rows)
    rng, cases = np.random.default_rng(seed), list[Case]()
    for user, events in events_by_user(both).items():
        hidden = int(rng.integers(len(events.items)))
        if len(events.items) > 1:
            cases += [replace(case, is_new_user=False) for case in asked_of(user, events, hidden=hidden)]
    by_task = {task: [case for case in cases if case.task == task] for task in TASKS}
    if not cases:
        return _nothing_known("no user has two of them")
    facts = DataFacts(
        n_items=len(embeddings),
        n_users=len(inputs.interactions.user_ids),
        n_interactions=len(inputs.interactions),
        n_past=len(inputs.interactions),
        holdout="none",
        cut=None,
        seed=seed,
        n_cases={},
        n_cases_found={task: len(found) for task, found in by_task.items()},
        n_unknown=0,
    )
    held_out = Split("users", inputs.interactions, tuple(cases))
    popularity = inputs.interactions.popularity(len(embeddings))
    exam = Exam(held_out, {task: found for task, found in by_task.items() if found}, facts, popularity, embeddings)
    return _large_enough(exam, "of pairs that both artifacts learnt from", min_cases)


def _large_enough(exam: Exam, which: str, min_cases: int) -> GateExam:
    """Returns the exam without tasks of too few cases."""
    few = {task: len(cases) for task, cases in exam.cases.items() if len(cases) < min_cases}
    notes = tuple(f"{n} cases by {task} {which}, gate.min_cases asks for {min_cases}: recall and coverage by {task}"
                  " aren't compared on them" for task, n in few.items())  # fmt: skip
    cases: dict[Task, list[Case]] = {task: found for task, found in exam.cases.items() if task not in few}
    if not cases:
        return GateExam(None, notes)
    facts = exam.facts.model_copy(update={"n_cases": {task: len(found) for task, found in cases.items()}})
    return GateExam(replace(exam, cases=cases, facts=facts), notes)


def _nothing(why: str) -> GateExam:
    return GateExam(None, (f"recall and coverage aren't compared on news: {why}",))


def _nothing_known(why: str) -> GateExam:
    return GateExam(None, (f"recall and coverage aren't compared on pairs that both artifacts learnt from: {why}",))
