"""The night, top to bottom: take → read → encode → fit on the past → gate → fit on everything → publish.

Inputs that are the live artifact's end it after reading. Whatever moment it dies at, the live artifact stays sound and
the next night completes.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from index_builder.config import BuildConfig
from index_builder.encode import EncoderPreparer, cores, prepare_encoder
from index_builder.feedback import take_events
from index_builder.gate import judge_artifact, judge_exam, judge_inputs
from index_builder.gate_exam import GateExam, known_exam, unseen_exam
from index_builder.gate_figures import Side, artifact_figures, exam_figures, examine, input_figures, worse_users
from index_builder.inputs import Inputs
from index_builder.known_pairs import Kept, kept_pairs
from index_builder.lock import builder_lock
from index_builder.report import BuildReport, Stopwatch
from index_builder.step_log import step_logger
from index_builder.steps import Fitted, Steps, Work
from index_builder.verdict import Figure, Verdict, Worse
from models.artifact import Artifact, open_artifact
from models.artifact_store import ArtifactStore
from models.encoder import Encoder, EncoderLoader, load_encoder
from models.training.evaluate import Exam
from models.training.evaluation import Evaluation
from models.types import JsonValue

Outcome = Literal["published", "unchanged", "refused"]
_EXAMPLES = 20


class NightReport(BaseModel):
    """The report of one night; its JSON form is stable and documented in docs/building.md.

    Attributes:
        outcome: What became of it.
        live: The artifact that is live now.
        taken: Events that were taken from the service's log; null without `[feedback]`.
        gate: What the gate said; null where there was nothing to compare with, or nothing to do.
        build: The report of the build; null unless something was published.
        warnings: What a person should look at.
        seconds: Duration of each step.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    live: str
    taken: int | None
    gate: Verdict | None
    build: BuildReport | None
    warnings: list[str]
    seconds: dict[str, float]

    def lines(self) -> list[str]:
        """Returns the report for a person, a line each; why the gate said no is left to the error."""
        lines = [] if self.taken is None else [f"{self.taken} events taken"]
        if self.gate is not None:
            lines += [f"gate: {note}" for note in self.gate.notes]
            lines += [f"gate: {'ok' if figure.passed else 'NO'}: {figure.says}" for figure in self.gate.figures]
        if self.build is not None:
            return [*lines, *self.build.lines()]
        lines += [f"warning: {warning}" for warning in self.warnings]
        if self.outcome == "unchanged":
            lines.append(f"nothing changed since artifact {self.live} was built: nothing is encoded, nothing fitted")
        return lines


@dataclass(frozen=True, slots=True, eq=False)
class Night:
    """What a night came to.

    Attributes:
        report: The report.
        evaluation: Both artifacts side by side; None where recall was not compared.
    """

    report: NightReport
    evaluation: Evaluation | None


def nightly(
    config: BuildConfig,
    *,
    force: bool = False,
    prepare: EncoderPreparer = prepare_encoder,
    load: EncoderLoader = load_encoder,
) -> Night:
    """Rebuilds from the news, and publishes only what is not worse than the live artifact.

    Args:
        config: What to build, and from what.
        force: Publish what the gate refuses; the manifest says so.
        prepare: Puts the encoder's files into the artifact; tests put their own.
        load: Loads the encoder's query runtime.

    Raises:
        RecallError: It could not be built; the live artifact is untouched.
    """
    store = ArtifactStore(config.publish.artifacts)
    with builder_lock(store.root):
        store.clean()
        return _Night(config, store, force=force, prepare=prepare, load=load).run()


class _Verdict:
    """The verdict as it grows.

    Args:
        against: The live artifact.
    """

    def __init__(self, against: str) -> None:
        self._against = against
        self._figures: list[Figure] = []
        self.notes: list[str] = []
        self.worse: list[Worse] = []
        self.evaluation: Evaluation | None = None

    def add(self, figures: Iterable[Figure]) -> None:
        self._figures += figures

    @property
    def stops(self) -> bool:
        return not all(figure.passed for figure in self._figures)

    def done(self, *, forced: bool) -> Verdict:
        worse = sorted(self.worse, key=lambda user: user.new - user.live)[:_EXAMPLES]
        return Verdict(against=self._against, figures=self._figures, notes=self.notes, worse=worse, forced=forced)


class _Night:
    def __init__(
        self, config: BuildConfig, store: ArtifactStore, *, force: bool, prepare: EncoderPreparer, load: EncoderLoader
    ) -> None:
        self.config, self.store, self.force, self.load = config, store, force, load
        self.log = step_logger()
        self.watch = Stopwatch(
            lambda step, seconds, counts: self.log.info("step", step=step, seconds=seconds, **counts)
        )
        self.taken = self._take()
        self.steps = Steps(config, store, prepare=prepare, load=load, watch=self.watch)

    def run(self) -> Night:
        inputs, live = self.steps.read(), self.steps.parent
        with self.store.staging() as folder:
            work = self.steps.prepare(folder, inputs, keep_live=True)
            if live is not None and live.manifest.inputs == work.made_from:
                work.tidy()  # what a night that was killed after its swap left undone
                return Night(self._report("unchanged", live=live.manifest.artifact_id), None)
            if live is None:
                self.steps.warnings.append("there is no live artifact to compare with: this night is not gated")
                built = work.publish(work.fit(inputs))
                return Night(self._report("published", live=built.artifact_id, build=built), None)
            return self._against(live, work)

    def _against(self, live: Artifact, work: Work) -> Night:
        """Builds, and publishes what every stage of the gate lets through."""
        gate, embeddings = self.config.gate, work.encoded.embeddings
        verdict = _Verdict(live.manifest.artifact_id)
        with self.watch.stage("hold out"):
            kept = self._kept(live, work)
            verdict.add(judge_inputs(input_figures(work.inputs, live, kept, self.config), gate))
            unseen = unseen_exam(work.inputs, live, embeddings, min_cases=gate.min_cases)
            known = GateExam(None, ())  # a live artifact that learnt nothing has been asked about the unseen
            if live.learnt is not None:
                known = known_exam(work.inputs, kept, embeddings, min_cases=gate.min_cases)
        verdict.notes += [*unseen.notes, *known.notes]
        if unseen.exam is not None:
            past = replace(work.inputs, interactions=unseen.exam.past)
            with self._tried(work, past, work.fit(past, name="learn the past")) as artifact:
                self._compare(unseen.exam, artifact, live, work, verdict)
        # Where nobody was asked yet, a night that has failed already goes on to say whose candidates got worse.
        if verdict.stops and not self.force and (unseen.exam is not None or known.exam is None):
            verdict.notes.append("nothing was fitted on everything, so the rest was not measured")
            return self._refused(verdict)
        fitted = work.fit(work.inputs)
        with self._tried(work, work.inputs, fitted) as artifact:
            if known.exam is not None:
                self._compare(known.exam, artifact, live, work, verdict, of="known pairs")
            with self.watch.stage("gate"):
                texts = [item.text for item in work.inputs.catalogue.items]
                verdict.add(judge_artifact(artifact_figures(artifact, fitted, live, texts, self.config), gate))
        if verdict.stops and not self.force:
            return self._refused(verdict)
        said = verdict.done(forced=verdict.stops)
        built = work.publish(fitted, gate=_for_manifest(said))
        return Night(self._report("published", live=built.artifact_id, gate=said, build=built), verdict.evaluation)

    def _kept(self, live: Artifact, work: Work) -> Kept | None:
        known = work.inputs.interactions
        if known is None:
            return None
        return kept_pairs(live, known, [item.id for item in work.inputs.catalogue.items])

    @contextmanager
    def _tried(self, work: Work, inputs: Inputs, fitted: Fitted) -> Iterator[Artifact]:
        """Yields what was fitted as an artifact that is gone afterwards."""
        with self.store.staging() as folder:
            work.write(folder, inputs, fitted, {})
            yield open_artifact(folder)

    def _compare(
        self, exam: Exam, artifact: Artifact, live: Artifact, work: Work, verdict: "_Verdict", *, of: str = ""
    ) -> None:
        """Asks both artifacts, and adds what came of it to the verdict."""
        k, known = self.config.gate.k, work.inputs.interactions
        assert known is not None
        with self.watch.stage(f"compare {of}".strip()) as counts:
            ours = Side(artifact, self.steps.recipe, lambda: work.reader)
            theirs = Side(live, live.manifest.text_recipe, lambda: self._live_reader(live, work))
            evaluator = examine(exam, ours, theirs)
            figures, evaluation = exam_figures(evaluator, exam, k=k)
            counts |= {f"cases_by_{task}": len(cases) for task, cases in exam.cases.items()}
        verdict.add(judge_exam(figures, self.config.gate, of=of))
        verdict.worse += worse_users(evaluator, exam, known.user_ids, k=k)
        verdict.evaluation = verdict.evaluation or evaluation

    def _refused(self, verdict: "_Verdict") -> Night:
        said = verdict.done(forced=False)
        return Night(self._report("refused", live=said.against, gate=said), verdict.evaluation)

    def _live_reader(self, live: Artifact, work: Work) -> Encoder:
        facts = live.manifest.encoder
        if facts.fingerprint == work.facts.fingerprint:
            return work.reader
        return self.load(live.encoder_folder, facts.run_by(facts.reference), cores())

    def _take(self) -> int | None:
        if self.config.feedback is None:
            return None
        with self.watch.stage("take") as counts:
            taken = take_events(self.config.feedback)
            counts |= {"events": taken.n_events, "erased_users": taken.n_erased_users}
        return taken.n_events

    def _report(
        self, outcome: Outcome, *, live: str, gate: Verdict | None = None, build: BuildReport | None = None
    ) -> NightReport:
        self.log.info("night", outcome=outcome, live=live, failed=[] if gate is None else _failed(gate))
        return NightReport(
            outcome=outcome,
            live=live,
            taken=self.taken,
            gate=gate,
            build=build,
            warnings=self.steps.warnings,
            seconds=self.watch.seconds,
        )


def _failed(verdict: Verdict) -> list[str]:
    return [figure.name for figure in verdict.figures if not figure.passed]


def _for_manifest(verdict: Verdict) -> dict[str, JsonValue]:
    """Returns the verdict without users."""
    kept: dict[str, JsonValue] = verdict.model_dump(
        mode="json", exclude={"worse": True, "figures": {"__all__": {"says"}}}
    )
    return kept
