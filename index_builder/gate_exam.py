"""What the gate asks both artifacts: the newest slice, as far as the live artifact has not learnt from it.

The live artifact was fitted on everything there was, so on what it saw it would win by memory. Fair is:
- a live artifact that learnt nothing: the newest slice of the events, or of the users, whatever they are;
- with a clock: what came since the live artifact's cut, which its manifest holds. Tonight's is fitted up to the cut;
- else, or where that is too little: nothing. Recall isn't compared then, and validation recall stands in for it: both
  artifacts' own, each by a fit that had not seen the cases.
"""

from dataclasses import dataclass, replace

from index_builder.inputs import Inputs
from models.artifact import Artifact
from models.errors import DataError
from models.training.evaluate import Exam, hold_out
from models.training.split import holdout_of
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


def gate_exam(inputs: Inputs, live: Artifact, embeddings: Matrix, *, min_cases: int, seed: int = 0) -> GateExam:
    """Returns what both artifacts can fairly be asked.

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
    few = {task: len(cases) for task, cases in exam.cases.items() if len(cases) < min_cases}
    notes = tuple(f"{n} cases by {task} that are new to the live artifact, gate.min_cases asks for {min_cases}: recall"
                  f" and coverage by {task} aren't compared" for task, n in few.items())  # fmt: skip
    cases = {task: found for task, found in exam.cases.items() if task not in few}
    if not cases:
        return GateExam(None, notes)
    facts_of_cases = exam.facts.model_copy(update={"n_cases": {task: len(found) for task, found in cases.items()}})
    return GateExam(replace(exam, cases=cases, facts=facts_of_cases), notes)


def _nothing(why: str) -> GateExam:
    return GateExam(None, (f"recall and coverage aren't compared: {why}",))
