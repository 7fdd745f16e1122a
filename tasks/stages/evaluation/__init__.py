"""The evaluation stage: choose a candidate on validation, score it once on the holdout, apply the gates."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.calendar import NO_CALENDAR, Calendar
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import (
    Comparison,
    Evaluation,
    FailedCandidate,
    GateMode,
    GateResult,
    JudgedHoldout,
    Outcome,
    Role,
    Spending,
    Unscored,
    Verdict,
)
from tasks.contracts.promotion import LostVersion, ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.errors import ConfigurationError, ModelError, NotEnoughData, ServiceUnavailable, TitleholderError
from tasks.guards import guard
from tasks.io import tracking
from tasks.io.endpoint import StandaloneExport, serve_standalone
from tasks.io.storage import Storage, frame_writer
from tasks.metrics import UNIT, USER_COVERAGE, Scored, get_metric
from tasks.models import SERVED
from tasks.models.base import Examples, load_model, read_examples
from tasks.models.champion import describe_failure
from tasks.problems import problem_of
from tasks.stages.evaluation.alpha import sample_rows, spend
from tasks.stages.evaluation.gates.base import Context, Export, Gate, Lineage
from tasks.stages.evaluation.named_sets import evaluate_sets
from tasks.stages.evaluation.paired import Answers, Question, correct_both_ways
from tasks.stages.evaluation.refitted import check_refit
from tasks.stages.evaluation.slice_report import CONFIDENCE, RESAMPLES, measure_slices, plan_slices

if TYPE_CHECKING:
    import pandas as pd


@guard(NotEnoughData)
def choose(candidates: Sequence[Candidate], primary: str, task: TaskKind) -> Candidate:
    """The best by the primary metric on the validation window; the first of equals; a candidate whose metric is NaN is skipped.

    Of a rolling split, the mean over all cuts counts.

    Raises
    ------
    NotEnoughData : no candidate has a number for the metric.
    """
    sign = 1.0 if get_metric(primary, task).greater_is_better else -1.0
    measured = [one for one in candidates if math.isfinite(one.mean(primary))]
    if not measured:
        names = ", ".join(one.name for one in candidates) or "none"
        raise NotEnoughData(f"no candidate has a validation {primary} to choose by; candidates: {names}")
    return max(measured, key=lambda one: sign * one.mean(primary))


@guard(ConfigurationError)
def baseline_of(gates: Sequence[Gate]) -> str | None:
    """The candidate that a gate requires to be beaten; None where no gate names one.

    Raises
    ------
    ConfigurationError : two gates name different ones.
    """
    named = {gate.baseline for gate in gates if gate.baseline}
    if len(named) > 1:
        raise ConfigurationError(f"gates.checks: over_baseline must be the same in all gates; got {', '.join(sorted(named))}")
    return next(iter(named), None)


def check_gates(
    gates: Sequence[Gate], mode: GateMode, task: TaskKind, metrics: Sequence[str], candidates: Sequence[str]
) -> None:
    """Refuse gates that could never work in a use case, before anything is trained.

    Raises
    ------
    ConfigurationError : the mode is enabled and no gate is; a gate's metric is not evaluated; a baseline is no candidate.
    """
    _demand_an_enabled_gate(gates, mode)
    for gate in gates:
        gate.check_fits(task, metrics, candidates)
    needy = next((gate.kind for gate in gates if gate.needs_baseline), None)
    if needy is not None and baseline_of(gates) is None:
        raise ConfigurationError(
            f"{needy}.over_baseline: no gate names a baseline; add minimum_metric with over_baseline: <candidate>"
        )


def _demand_an_enabled_gate(gates: Sequence[Gate], mode: GateMode) -> None:
    if mode is GateMode.ENABLED and not any((gate.mode or mode) is GateMode.ENABLED for gate in gates):
        raise ConfigurationError(
            f"the mode is enabled but not one of {len(gates)} gates is: every challenger would pass. "
            "Enable one, or say mode: disabled, which every report then shows"
        )


class Scores(NamedTuple):
    """What `evaluate` measured: the models that were scored, the challenger first, and those that could not be."""

    evaluations: tuple[Evaluation, ...]
    unscored: tuple[Unscored, ...] = ()

    def with_more(self, found: Evaluation | Unscored) -> Scores:
        """With what became of one model more."""
        if isinstance(found, Unscored):
            return Scores(self.evaluations, (*self.unscored, found))
        return Scores((*self.evaluations, found), self.unscored)


class _Subject(NamedTuple):
    """A model to be scored, and the part that it plays."""

    role: Role
    name: str
    model_uri: str
    digest: str


@guard(ModelError, NotEnoughData)
def evaluate(
    candidates: Sequence[Candidate],
    champion: ModelVersion | LostVersion | None,
    split: Split,
    terms: ScoringTerms,
    storage: Storage,
    *,
    baseline: str | None = None,
) -> Scores:
    """Score, once each and on the same holdout, the chosen candidate, the champion and the baseline, where there are any.

    Each is loaded from its export, with its digest checked: what is judged is what would be served. The candidate is
    chosen by the primary metric of the terms.

    A champion that cannot answer the holdout (its export is gone, its kind was removed, the features lack a column that it
    needs, its predictions are not numbers) has lost: it is among the unscored ones, with the reason. A failure of the
    challenger or the baseline, which were trained on these data, is raised.

    Raises
    ------
    ModelError : an export of this training is missing or is not the one that was trained.
    NotEnoughData : the holdout has no label.
    ServiceUnavailable : MLflow does not answer.
    """
    chosen = choose(candidates, terms.primary, terms.task)
    own = [_Subject(Role.CHALLENGER, chosen.name, chosen.model_uri, chosen.manifest_digest)]
    own += [
        _Subject(Role.BASELINE, one.name, one.model_uri, one.manifest_digest)
        for one in candidates
        if one.name == baseline and one.name != chosen.name
    ]
    examples = read_examples(storage, split.holdout)
    evaluations = {one.role: _publish(one, _score(one, examples, terms), split, terms, storage) for one in own}
    is_measurable = terms.primary in evaluations[Role.CHALLENGER].metrics
    unscored = []
    if champion is not None:
        name = f"version_{champion.version}"
        if isinstance(champion, LostVersion):
            fault = champion.reason
        else:
            subject = _Subject(Role.CHAMPION, name, *champion.judged)
            scored, fault = _try_to_score(subject, examples, terms)
            if scored is not None and is_measurable and not math.isfinite(scored.metrics[terms.primary]):
                fault = f"its {terms.primary} is not a number on this holdout, the challenger's is"
            elif scored is not None:
                evaluations[Role.CHAMPION] = _publish(subject, scored, split, terms, storage)
        if fault:
            unscored.append(Unscored(subject=Role.CHAMPION, name=name, reason=fault))
    in_order = (Role.CHALLENGER, Role.CHAMPION, Role.BASELINE)
    return Scores(tuple(evaluations[role] for role in in_order if role in evaluations), tuple(unscored))


def evaluate_anchor(anchor: ModelVersion, split: Split, terms: ScoringTerms, storage: Storage) -> Evaluation | Unscored:
    """Score a former champion on the holdout; or the reason why it cannot answer it, whatever that is."""
    subject = _Subject(Role.ANCHOR, f"version_{anchor.version}", *anchor.judged)
    scored, fault = _try_to_score(subject, read_examples(storage, split.holdout), terms)
    if scored is not None and not math.isfinite(scored.metrics[terms.primary]):
        scored, fault = None, f"its {terms.primary} is not a number on this holdout"
    if scored is None:
        return Unscored(subject=Role.ANCHOR, name=subject.name, reason=fault)
    return _publish(subject, scored, split, terms, storage)


def _score(subject: _Subject, examples: Examples, terms: ScoringTerms) -> Scored:
    return problem_of(terms.task).score(_load(subject.model_uri, subject.digest).model, examples, terms)


def _try_to_score(subject: _Subject, examples: Examples, terms: ScoringTerms) -> tuple[Scored | None, str]:
    """A model that was trained on other data, scored; or None and why it cannot be.

    The challenger was scored on the same holdout before, so the fault is the model's.
    """
    try:
        return _score(subject, examples, terms), ""
    except Exception as error:
        return None, describe_failure(error)


def _publish(subject: _Subject, scored: Scored, split: Split, terms: ScoringTerms, storage: Storage) -> Evaluation:
    measured = {metric: value for metric, value in scored.metrics.items() if math.isfinite(value)}
    units = storage.publish(
        use_case=terms.use_case,
        layer=c.EVALUATION,
        partition=f"{split.as_of.isoformat()}.{subject.role}.{subject.name}"[:100],
        tables={name: frame_writer(table) for name, table in scored.tables.items()},
        inputs=[split.holdout],
        facts={
            "model_uri": subject.model_uri,
            "manifest_digest": subject.digest,
            "metrics": measured,
            "k": terms.k,
            "exclude_seen": terms.exclude_seen,
            "relevant_from": terms.relevant_from,
        },
    )
    return Evaluation(
        subject=subject.role,
        name=subject.name,
        model_uri=subject.model_uri,
        holdout=split.holdout,
        metrics=measured,
        units=units,
        populations=scored.populations,
    )


def _load(model_uri: str, digest: str) -> Export:
    """The exported model, from a private copy that is gone when it is loaded."""
    with tempfile.TemporaryDirectory(prefix="titleholder-model-") as folder:
        native = tracking.download_native(model_uri, Path(folder))
        size = sum(path.stat().st_size for path in native.rglob("*") if path.is_file())
        model, terms = load_model(native, digest, SERVED)
    return Export(model, terms, size / 1e6)


def _read_columns(train: DatasetRef, storage: Storage) -> dict[str, dict[str, str]]:
    """Name -> type of what was learned from, as pandas reads it and as Spark does."""
    from tasks.io.spark import get_spark

    table = c.ROWS if c.ROWS in train.rows else c.LABELS
    as_pandas, as_spark = storage.read(train, table).head(1000), get_spark().read.parquet(str(storage.table(train, table)))
    return {"the training frame": tracking.columns_of(as_pandas), "the Spark frame": tracking.columns_of(as_spark)}


@contextmanager
def _serve(command: Sequence[str], use_case: str, candidate: Candidate, storage: Storage) -> Iterator[str]:
    """The address of an endpoint that serves the candidate, from a private copy."""
    if not command:
        raise ConfigurationError(f"{use_case}: a gate needs an endpoint: call judge with an endpoint_command")
    with tempfile.TemporaryDirectory(prefix="titleholder-alone-") as folder:
        home, model = Path(folder) / "home", Path(folder) / "model"
        home.mkdir()
        model.mkdir()
        native = tracking.download_native(candidate.model_uri, model)
        export = StandaloneExport(
            use_case=use_case,
            native=native,
            manifest_digest=candidate.manifest_digest,
            kinds=SERVED,
            features=candidate.split.holdout,
            as_of=candidate.split.as_of,
            data_root=storage.root,
        )
        with serve_standalone(export, command=command, home=home) as address:
            yield address


def _lineage(split: Split, calendar: Calendar, storage: Storage) -> Lineage:
    """Which windows the examples were made of, and where their labels begin."""
    inputs = [DatasetRef.from_json(one) for one in storage.manifest(split.holdout)["inputs"]]
    labels = storage.manifest(split.train)["facts"].get("window")
    return Lineage(
        windows=tuple(Window.from_label(ref.partition) for ref in inputs if ".." in ref.partition),
        labels_from=Window.from_label(labels).start if labels else None,
        calendar=calendar,
    )


def read_holdout(split: Split, storage: Storage) -> JudgedHoldout:
    """What a split judges by: the days of its holdout's labels or, where they have none, its rows."""
    label = storage.manifest(split.holdout)["facts"].get("window")
    if label is not None:
        window = Window.from_label(label)
        return JudgedHoldout(as_of=split.as_of, first_day=window.start, end=window.end)
    examples = read_examples(storage, split.holdout)
    rows = () if examples.rows is None else sample_rows(examples.rows[c.ROW_ID].astype(str))
    return JudgedHoldout(as_of=split.as_of, rows=rows)


def judging_key(candidate: Candidate, champion: ModelVersion | LostVersion | None) -> str:
    """The digest of who is judged against whom on what: a retry of a training judges by the same key."""
    opponent = champion.manifest_digest if isinstance(champion, ModelVersion) else champion and f"lost {champion.version}"
    said = [candidate.use_case, candidate.run_id, candidate.manifest_digest, opponent, candidate.split.holdout.digest]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


@guard(ConfigurationError)
def judge(  # noqa: PLR0913  # what is judged, by which gates, and the adapters that gates read through
    candidate: Candidate,
    scores: Scores,
    gates: Sequence[Gate],
    terms: ScoringTerms,
    storage: Storage,
    *,
    mode: GateMode,
    champion: ModelVersion | LostVersion | None,
    seed: int,
    endpoint_command: Sequence[str] = (),
    spending: Spending | None = None,
    anchor: ModelVersion | None = None,
    failed: Sequence[FailedCandidate] = (),
    calendar: Calendar = NO_CALENDAR,
) -> Verdict:
    """Apply every gate. The verdict passes unless an enabled gate refuses; dry_run gates only report.

    Where the champion could not be scored, the challenger is judged as a first one, and the verdict demands a person.

    Parameters
    ----------
    failed : the candidates of the training that failed, which the verdict reports.
    calendar : the days on which no delivery is missed.
    endpoint_command : starts an endpoint that serves the candidate alone, for the gates that measure one.
    spending : the alpha of this judging; None judges as if it were the only one.
    anchor : the former champion whose evaluation is among the evaluations.
    unscored : the models that have no evaluation, for the report.

    Raises
    ------
    ConfigurationError : the mode is enabled and no gate is: nothing would be judged.
    """
    _demand_an_enabled_gate(gates, mode)
    answers = {one.subject: _read_answers(one, storage) for one in scores.evaluations}
    lost = next((one.reason for one in scores.unscored if one.subject is Role.CHAMPION), "")
    if Role.CHALLENGER not in answers or (champion is not None) != (Role.CHAMPION in answers or bool(lost)):
        raise ConfigurationError(
            f"{terms.use_case}: judging needs evaluations of the challenger{' and the champion' if champion else ''}; "
            f"got {', '.join(answers) or 'none'}: run evaluate with the same champion"
        )
    context = Context(
        task=terms.task,
        candidate=candidate,
        challenger=answers[Role.CHALLENGER],
        champion=answers.get(Role.CHAMPION),
        champion_version=champion.version if champion else None,
        baseline=answers.get(Role.BASELINE),
        seed=seed,
        anchor=answers.get(Role.ANCHOR),
        anchor_version=anchor.version if anchor else None,
        spending=spending,
        lost_champion=lost,
        registered_champion=champion if isinstance(champion, ModelVersion) else None,
        lineage=_lineage(candidate.split, calendar, storage),
        read_holdout=partial(read_examples, storage, candidate.split.holdout),
        read_export=partial(_load, candidate.model_uri, candidate.manifest_digest),
        open_endpoint=partial(_serve, endpoint_command, terms.use_case, candidate, storage),
        read_signature=partial(tracking.read_signature, candidate.model_uri),
        read_columns=partial(_read_columns, candidate.split.train, storage),
    )
    plan = plan_slices(gates, mode, context)
    _draw_at_once(gates, mode, context, plan.questions())
    results = [_ask(gate, gate.mode or mode, context) for gate in gates]
    comparisons = _compare_the_rest(context)
    slices, weak_segments = measure_slices(plan, results, context)
    passed = all(result.passed for result in results if result.mode is GateMode.ENABLED)
    return Verdict(
        use_case=terms.use_case,
        candidate=candidate,
        champion_version=context.champion_version,
        evaluations=scores.evaluations,
        comparisons=comparisons,
        gates=tuple(results),
        slices=slices,
        weak_segments=weak_segments,
        passed=passed,
        outcome=_outcome(comparisons),
        spending=spending,
        unscored=scores.unscored,
        failed=tuple(failed),
    )


def _ask(gate: Gate, mode: GateMode, context: Context) -> GateResult:
    result = gate.answer(True, "disabled") if mode is GateMode.DISABLED else gate.check(context)
    return result.model_copy(update={"mode": mode})


def _draw_at_once(gates: Sequence[Gate], mode: GateMode, context: Context, of_slices: Sequence[Question]) -> None:
    """One drawing for what all gates and the report will compare: drawing costs more than measuring."""
    rest = [*_questions_of_the_rest(context, ()), *of_slices]
    wanted: dict[tuple[int, str | None], list[Question]] = {(RESAMPLES, None): rest}
    for gate in gates:
        if (gate.mode or mode) is not GateMode.DISABLED:
            with suppress(TitleholderError):  # the gate reports it by itself, when it checks
                draws = gate.draws(context)
                if draws is not None:
                    wanted.setdefault((draws.resamples, draws.group_by), []).extend(draws.questions)
    for (resamples, group_by), questions in wanted.items():
        with suppress(TitleholderError):
            context.draw(questions, resamples, group_by)


def _questions_of_the_rest(context: Context, compared: Collection[str]) -> list[Question]:
    """Every metric that both have and that can be compared, but those that were."""
    if context.champion is None:
        return []
    both = [name for name in context.challenger.evaluation.metrics if name in context.champion.evaluation.metrics]
    left = [name for name in both if name not in compared and name != USER_COVERAGE]
    return [context.question(context.champion, name) for name in left if get_metric(name, context.task).resamples]


def _compare_the_rest(context: Context) -> tuple[Comparison, ...]:
    """What the gates compared with the champion, then every other metric that can be, for the report: many, so corrected."""
    compared: list[Comparison] = []
    for question in _questions_of_the_rest(context, {one.metric for one in context.comparisons}):
        with suppress(NotEnoughData):  # no gate hangs on it
            compared += context.compare([question], confidence=CONFIDENCE, resamples=RESAMPLES)
    return (*context.comparisons, *correct_both_ways(compared, CONFIDENCE))


def _outcome(comparisons: Sequence[Comparison]) -> Outcome | None:
    """By the first gate that compared, else by the primary metric: it was evaluated first."""
    return comparisons[0].outcome if comparisons else None


def _read_answers(evaluation: Evaluation, storage: Storage) -> Answers:
    units, predictions = _read_sorted(evaluation.units, c.UNITS, c.PREDICTIONS, storage)
    has_others = c.PROBABILITIES in evaluation.units.rows
    facts = storage.manifest(evaluation.units)["facts"]
    return Answers(
        evaluation,
        units,
        predictions,
        depth=facts.get("k"),
        hides_seen=facts.get("exclude_seen", False),
        probabilities=_read_sorted(evaluation.units, c.PROBABILITY_UNITS, c.PROBABILITIES, storage) if has_others else None,
    )


def _read_sorted(ref: DatasetRef, units: str, predictions: str, storage: Storage) -> tuple[pd.DataFrame, pd.DataFrame]:
    answered = storage.read(ref, predictions)
    keys = [name for name in (c.ROW_ID, c.USER_ID, c.RANK, c.ITEM_ID) if name in answered]
    return storage.read(ref, units).sort_values(UNIT, ignore_index=True), answered.sort_values(keys, ignore_index=True)


__all__ = [
    "Scores",
    "ServiceUnavailable",
    "baseline_of",
    "check_gates",
    "check_refit",
    "choose",
    "evaluate",
    "evaluate_anchor",
    "evaluate_sets",
    "judge",
    "judging_key",
    "read_holdout",
    "spend",
]
