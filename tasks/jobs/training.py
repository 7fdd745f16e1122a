"""The jobs of `<use_case>.training`: split -> one candidate per model -> one common holdout -> gates -> a version."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import FailedCandidate, Outcome, Role, Verdict
from tasks.contracts.promotion import LostVersion, ModelVersion
from tasks.contracts.training import Candidate, LearningCurve, Refit, RefitPolicy
from tasks.errors import ModelError, NothingToDo, ServiceUnavailable
from tasks.io.decisions import DecisionLog
from tasks.io.storage import Storage
from tasks.jobs.run import Run
from tasks.models.base import ServedModel
from tasks.settings import get_settings
from tasks.stages import evaluation, profiling, registry, reporting
from tasks.stages import features as features_stage
from tasks.stages import training as training_stage
from tasks.stages.reporting import markdown

_log = logging.getLogger(__name__)


def split(run: Run, *, as_of: date | None, requests: Sequence[Mapping[str, Any]], day: date) -> Split:
    """Features and labels of three consecutive windows: train, validation, holdout.

    Parameters
    ----------
    as_of : train on what was known before this day. None: the newest request's day, else the newest validated day.
    requests : the retrain requests that started this run, oldest first, each with `as_of` and `idempotency_key`.
    day : the day of the run; without `as_of` and requests nothing later is read.

    Raises
    ------
    NothingToDo : nothing is validated yet, or another training took every request.
    NotEnoughData, LeakageFound : from the split.
    """
    case = run.use_case
    stated = as_of or (date.fromisoformat(requests[-1]["as_of"]) if requests else None)
    history = run.storage.history(run.name, c.VALIDATED, stated or day)
    if not history:
        raise NothingToDo(f"nothing is validated up to {stated or day}: run {run.name}.features first")
    until = stated or newest_day(history)
    keys = [str(request["idempotency_key"]) for request in requests] or [f"by hand: {run.run_id}"]
    take_requests(run, keys, until)
    earlier = max(case.tuning.earlier_windows(case.task), case.split.origins - 1)
    request = case.features_as_of(until, history)
    return features_stage.split(request, case.split, run.storage, seed=case.seed, earlier=earlier)


def newest_day(history: Sequence[DatasetRef]) -> date:
    """The end of the newest of some validated windows, oldest first."""
    return Window.from_label(history[-1].partition).end


def take_requests(run: Run, keys: Sequence[str], as_of: date) -> None:
    """Record that this run answers retrain requests. Taking them again in the same run changes nothing.

    Raises
    ------
    NothingToDo : another run took all of them before.
    """
    taken = [run.decision_log.take_request(run.name, key, as_of, run.run_id) for key in keys]
    if not any(taken):
        raise NothingToDo(f"another training answers this request already: {', '.join(keys)}")


def profile(run: Run, split: Split) -> str:
    """The address of a page about the rows that were known to a split; empty where it cannot be made.

    A page that cannot be made must not end a training, so every error is a warning.
    """
    try:
        history = run.storage.history(run.name, c.VALIDATED, split.as_of)
        title = f"known before {split.as_of}"
        return profiling.profile(run.name, title, history, run.storage, run.use_case.seed, run.tags, zone=run.use_case.zone)
    except Exception as error:
        _log.warning("no profile: %s", error)
        return ""


def train(run: Run, candidate: str, split: Split) -> Candidate:
    """Tune where the use case says so, then fit, calibrate, export and log one candidate.

    Raises
    ------
    ConfigurationError : the use case has no candidate of this name.
    NotEnoughData, ModelError : from tuning and training.
    """
    case, tags = run.use_case, run.tags
    spec, champion = case.candidate(candidate), champion_for(run, candidate)
    if candidate in case.tuning.candidates:
        tuned = training_stage.tune(
            spec,
            case.tuning,
            split.before_holdout,
            case.scoring_terms,
            run.storage,
            seed=case.seed,
            run_tags=tags,
            champion_run=champion.run_id if champion else None,
        )
        spec, tags = training_stage.with_settings(spec, tuned.settings), tags | {"titleholder.tuning_run": tuned.run_id}
    start, model = training_stage.begin(spec, case.incremental, split.as_of, champion)
    made = training_stage.train(
        spec,
        split,
        case.scoring_terms,
        run.storage,
        seed=case.seed,
        run_tags=tags,
        start=start,
        champion=model,
        origins=case.split.origins,
    )
    _log.info("%s: %s", candidate, ", ".join(f"{name} {value:.4f}" for name, value in made.metrics.items()))
    return made


def champion_for(run: Run, candidate: str) -> ModelVersion | None:
    """The champion that a candidate's tuning or warm start begins from; None for a candidate that has neither.

    Only these candidates need MLflow's tags, so that the others train while a champion's tags are broken. A champion that
    is lost helps none: they begin from nothing.
    """
    if candidate not in (*run.use_case.tuning.candidates, *run.use_case.incremental.candidates):
        return None
    champion = registry.champion_of(run.name, run.ledger)
    if isinstance(champion, LostVersion):
        _log.warning("%s begins without the champion: %s", candidate, champion.reason)
        return None
    return champion


def judge(
    run: Run,
    candidates: Sequence[Candidate],
    split: Split,
    *,
    endpoint_command: Sequence[str],
    failed: Sequence[FailedCandidate] = (),
) -> Verdict:
    """Score the chosen candidate, the champion and the anchor, once, on the same holdout, and apply the gates.

    The judging is recorded with the alpha that it spends before the gates run. An anchor that cannot be scored is skipped.

    A champion that cannot be scored ends nothing: the challenger is judged as a first one, and a person decides.

    Parameters
    ----------
    endpoint_command : starts an endpoint that serves the candidate alone, for the gates that measure one.
    failed : the candidates whose training failed. The others are judged.

    Raises
    ------
    ModelError : every candidate failed, each with its reason.
    """
    for one in failed:
        _log.warning("candidate %s failed and is not judged: %s", one.name, one.reason)
    if not candidates:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in failed) or "none was trained"
        raise ModelError(f"{run.name}: no candidate can be judged. {reasons}")
    case, champion = run.use_case, registry.champion_of(run.name, run.ledger)
    scores = evaluation.evaluate(
        candidates, champion, split, case.scoring_terms, run.storage, baseline=evaluation.baseline_of(case.gates.checks)
    )
    anchor = registry.anchor_of(run.name, run.ledger, case.gates.anchor) if isinstance(champion, ModelVersion) else None
    if anchor is not None:
        found = evaluation.evaluate_anchor(anchor, split, case.scoring_terms, run.storage)
        scores = scores.with_more(found)
    for lost in scores.unscored:
        _log.warning("%s could not be scored, and takes no part in the judging: %s", lost.name, lost.reason)
    chosen, holdout = choose(run, candidates), evaluation.read_holdout(split, run.storage)
    key = evaluation.judging_key(chosen, champion)
    per_year = case.gates.false_promotions_per_year
    has_champion = any(one.subject is Role.CHAMPION for one in scores.evaluations)
    spending = run.judging_log.begin(
        run.name, key, holdout, lambda past: evaluation.spend(holdout, past, per_year, has_champion=has_champion)
    )
    _log.info("%s", spending.describe())
    verdict = evaluation.judge(
        chosen,
        scores,
        case.gates.checks,
        case.scoring_terms,
        run.storage,
        mode=case.gates.mode,
        champion=champion,
        seed=case.seed,
        endpoint_command=endpoint_command,
        spending=spending,
        anchor=anchor,
        failed=failed,
        calendar=case.calendar,
    )
    p_better = verdict.comparisons[0].p_better if verdict.comparisons else None
    found_better = verdict.passed and verdict.outcome is Outcome.BETTER
    run.judging_log.settle(run.name, key, found_better=found_better, p_better=p_better)
    return report_test_sets(run, verdict, champion if has_champion and isinstance(champion, ModelVersion) else None)


def report_test_sets(run: Run, verdict: Verdict, champion: ModelVersion | None) -> Verdict:
    """The verdict with the metrics of challenger and champion on each test set of the split."""
    split, terms = verdict.candidate.split, run.use_case.scoring_terms
    sets = evaluation.evaluate_sets(verdict.candidate, champion, split, terms, run.storage)
    return verdict.model_copy(update={"test_sets": sets})


def list_failed(expected: Sequence[str], trained: Sequence[Candidate], reasons: Mapping[str, str]) -> list[FailedCandidate]:
    """The candidates that a training asked for and did not get.

    Parameters
    ----------
    reasons : name -> why, of those that could say so. A process that was killed could not.
    """
    there = {one.name for one in trained}
    silent = "it ended without a reason: it was killed, or ran out of memory or time. Its task's log has the rest"
    return [FailedCandidate(name=name, reason=reasons.get(name) or silent) for name in expected if name not in there]


def choose(run: Run, candidates: Sequence[Candidate]) -> Candidate:
    """The best candidate on the validation window, by the primary metric."""
    return evaluation.choose(candidates, run.use_case.metrics.primary, run.use_case.task)


def draw_learning_curve(run: Run, candidates: Sequence[Candidate]) -> LearningCurve | None:
    """Measure whether more data would help the chosen candidate. Its model card shows the curve.

    A curve that cannot be measured must not end a training, so every error but of a server is a warning.
    """
    case = run.use_case
    try:
        chosen = choose(run, candidates)
        curve = training_stage.draw_learning_curve(
            chosen, case.candidate(chosen.name), case.scoring_terms, run.storage, seed=case.seed
        )
    except ServiceUnavailable:
        raise
    except Exception as error:
        _log.warning("no learning curve: %s", error)
        return None
    for point in curve.points:
        _log.info("%d %s: %s %.4f", point.units, curve.unit, curve.metric, point.validation)
    return curve


def refit(run: Run, verdict: Verdict) -> Verdict:
    """The verdict with the model that serves: the candidate, fitted again on all data, where it passed.

    No figure of the verdict is of the refitted model, which learned from the holdout. It must pass the gates that judge
    predictions alone, or the judged model serves.
    """
    case, candidate = run.use_case, verdict.candidate
    if not verdict.passed or case.refit is RefitPolicy.NEVER:
        return verdict
    spec = training_stage.with_settings(case.candidate(candidate.name), candidate.settings)
    features = None
    if not case.task.answers_rows:
        history = run.storage.history(run.name, c.VALIDATED, candidate.split.as_of)
        features = features_stage.build_features(case.features_as_of(candidate.split.as_of, history), run.storage)
    made = training_stage.refit(
        candidate,
        spec,
        run.storage,
        features=features,
        seed=case.seed,
        run_tags=run.tags,
        champion=_read_start(run, candidate),
    )
    if not made.problem:
        checks = case.gates.checks
        faults = evaluation.check_refit(made, candidate, checks, case.scoring_terms, run.storage, mode=case.gates.mode)
        made = made if not faults else Refit(problem="; ".join(faults)[:1000])
    if made.problem:
        _log.warning("%s: the judged model serves, because it could not be fitted again: %s", candidate.name, made.problem)
    return verdict.model_copy(update={"refit": made})


def _read_start(run: Run, candidate: Candidate) -> ServedModel | None:
    """The model that a candidate's fit began from; None where it began from nothing, or where that model is gone."""
    if candidate.start is None or not candidate.start.is_warm or candidate.start.champion_version is None:
        return None
    try:
        champion = registry.version_of(run.name, candidate.start.champion_version)
        spec = run.use_case.candidate(candidate.name)
        return training_stage.begin(spec, run.use_case.incremental, candidate.split.as_of, champion)[1]
    except ModelError as error:
        _log.warning("%s is fitted again from nothing: %s", candidate.name, error)
        return None


def register(run: Run, verdict: Verdict) -> ModelVersion:
    """Make the judged candidate a version, with its verdict and reasons, and settle the requests that this run took.

    Before that, a candidate that passed is fitted again on all data: the version serves this model (see `refit`).

    Raises
    ------
    SnapshotError : an evaluation that the verdict rests on was altered.
    """
    verdict = refit(run, verdict)
    version = register_verdict(verdict, run.storage)
    run.decision_log.settle_requests(run.name, run.run_id, version=version.version, passed=version.passed)
    outcome = "passed every enabled gate" if verdict.passed else f"was refused: {'; '.join(verdict.reasons)}"
    _log.info("version %d (%s) %s", version.version, verdict.candidate.name, outcome)
    return version


def register_verdict(verdict: Verdict, storage: Storage) -> ModelVersion:
    """Make a judged candidate a version, with the report and the model card of its verdict."""

    def write_report(verdict: Verdict, folder: str) -> registry.VerdictReport:
        return registry.VerdictReport(
            markdown=markdown.write_report(verdict),
            card=reporting.write_card(verdict, reporting.read_training(verdict), folder, storage),
            comparisons=reporting.draw_comparisons(verdict),
        )

    return registry.register(verdict, storage, write_report)


def announce_challenger(version: ModelVersion) -> dict[str, int]:
    """The extra of the asset `challenger`, for a version that passed.

    Raises
    ------
    NothingToDo : the version did not pass.
    """
    if not version.passed:
        raise NothingToDo(f"version {version.version} was refused; its reasons are on the version in MLflow")
    return {"version": version.version}


def give_up(use_case: str, run_id: str) -> None:
    """Settle the requests of a training that failed, so that it holds back no other.

    Takes no `Run`: a use case whose file is broken by now must not leave its requests open.
    """
    DecisionLog(get_settings().ledger_url).settle_requests(use_case, run_id, version=None, passed=False)
