"""Tuning: settings that Optuna's TPE proposes, measured before the holdout, each a child run in MLflow (`tune`)."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tasks.code_version import identify_code
from tasks.contracts.data import DatasetRef
from tasks.contracts.training import Candidate, ScoringTerms, Trial, TrialState, Tuned
from tasks.errors import ModelError, NotEnoughData, TitleholderError
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.metrics import get_metric
from tasks.models.base import Examples, ModelSpec, read_examples
from tasks.problems import problem_of
from tasks.stages.training.plots import draw_history
from tasks.stages.training.rounds import InRounds, Judge, OnSpark, Report
from tasks.stages.training.spec import Search, SearchKind, TuningSpec, Values, number_type, with_settings

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as Proposal
    from optuna.distributions import BaseDistribution

log = logging.getLogger(__name__)
TUNED = "tuning.json"  # artifact of the tuning's run
CANDIDATE = "candidate.json"  # artifact of a candidate's run
PARENT = "mlflow.parentRunId"  # the tag by which MLflow's page nests runs
KEPT = 75.0  # percent of the earlier trials; at 50, one lucky fold of another trial pruned good settings
STARTUP = 5  # trials before TPE models, and before anything is pruned


def tune(
    spec: ModelSpec,
    policy: TuningSpec,
    windows: Sequence[DatasetRef],
    terms: ScoringTerms,
    storage: Storage,
    *,
    seed: int,
    run_tags: Mapping[str, str],
    champion_run: str | None = None,
) -> Tuned:
    """Search for better settings of one candidate, and log the search as one MLflow run with a child for each trial.

    The settings of the YAML are tried first, then those of the champion where it is of this kind. What was searched before
    (same spec, space, budget, windows, champion, seed and code) is read from its run.

    Parameters
    ----------
    windows : the split's windows before the holdout, in the order of time. The holdout cannot be among them.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    use_case, metric, terms = terms.use_case, terms.primary, terms.measured_by(terms.primary)
    name, search = spec.candidate_name, policy.candidates[spec.candidate_name]
    champion = {} if champion_run is None else read_settings(champion_run, spec.kind)
    decided = [
        spec.model_dump(mode="json"),
        policy.model_dump(mode="json", exclude={"candidates"}),
        search.model_dump(mode="json"),
        [ref.version for ref in windows],
        metric,
        terms.k,
        terms.exclude_seen,
        seed,
        champion,
        identify_code(),
    ]
    key = hashlib.sha256(json.dumps(["tuning", *decided], sort_keys=True).encode()).hexdigest()
    finished = tracking.find_finished_run(use_case, key)
    if finished is not None:
        return Tuned.from_json(tracking.read_run_dict(finished.info.run_id, TUNED))

    examples = [read_examples(storage, ref) for ref in windows]
    judge = make_judge(search.search, examples, policy.rounds, terms, seed=seed)
    budget = policy.model_dump(exclude={"candidates"})
    space = {f"space.{setting}": values.model_dump(exclude_defaults=True) for setting, values in search.space.items()}
    with tracking.start_run(use_case, f"{name}.tuning", key, {"titleholder.tuning_of": name, **run_tags}) as run:
        run.log_params({"search": search.search.value, **budget, **space})

        def log_trial(trial: Trial) -> None:
            own = {PARENT: run.run_id, "titleholder.trial": trial.state.value, "titleholder.origin": trial.origin}
            title = f"{name}.trial_{trial.number:03d}"
            with tracking.start_run(use_case, title, f"{key}.{trial.number}", {**run_tags, **own}) as child:
                child.log_params({f"model.{setting}": value for setting, value in trial.settings.items()})
                for number, figure in enumerate(trial.figures):
                    child.log_metrics({f"round_{metric}": figure}, step=number)
                if trial.state is TrialState.COMPLETE:
                    child.log_metrics({metric: trial.value, "seconds": trial.seconds})
                if trial.note:
                    child.set_tags({"titleholder.note": trial.note})

        trials = run_search(spec, search, policy, terms, judge, seed=seed, champion=champion, log_trial=log_trial)
        best = choose_trial(trials, get_metric(metric, terms.task).greater_is_better)
        tuned = Tuned(run_id=run.run_id, metric=metric, settings=best.settings if best else {}, trials=trials)
        if best is not None:
            run.log_metrics({metric: best.value})
            run.log_params({f"model.{setting}": value for setting, value in best.settings.items()})
        run.log_figure(draw_history(tuned, f"{use_case}: {name}"), "plots/optimization_history.png")
        run.log_dict(tuned.to_json(), TUNED)
    return tuned


def make_judge(search: SearchKind, windows: Sequence[Examples], rounds: int, terms: ScoringTerms, *, seed: int) -> Judge:
    """Spark's own tuner where the search names it, else rounds.

    Raises
    ------
    NotEnoughData : the data before the holdout allow no round.
    """
    problem = problem_of(terms.task)
    if search.is_sparks:
        return OnSpark(search, problem.spark_history(windows), rounds, terms.primary, seed)
    made = problem.make_rounds(windows, rounds, seed)
    if not made:
        raise NotEnoughData(
            f"{terms.use_case}: tuning has no round: however the training data are cut as the split is, a side lacks a class. "
            "Ingest more rows, or leave the candidate out of tuning.candidates"
        )
    return InRounds(made, terms, seed)


def read_settings(run_id: str, kind: str) -> dict[str, Any]:
    """The settings that the candidate of a run was fitted with; none where it is of another kind, or its run is gone."""
    try:
        candidate = Candidate.from_json(tracking.read_run_dict(run_id, CANDIDATE))
    except ModelError:
        return {}
    return candidate.settings if candidate.kind == kind else {}


def run_search(
    spec: ModelSpec,
    search: Search,
    policy: TuningSpec,
    terms: ScoringTerms,
    judge: Judge,
    *,
    seed: int,
    champion: Mapping[str, Any],
    log_trial: Callable[[Trial], None],
) -> tuple[Trial, ...]:
    """Propose settings, measure and log them until the budget ends.

    With a budget in trials alone, the same input gives the same trials.

    Settings that cannot be fitted fail their trial, and the search continues.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # every trial is logged below
    greater = get_metric(terms.primary, terms.task).greater_is_better
    study = optuna.create_study(
        direction="maximize" if greater else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP),
        pruner=optuna.pruners.PercentilePruner(KEPT, n_startup_trials=STARTUP),
    )
    starts = [("yaml", {setting: getattr(spec, setting) for setting in search.space})]
    fits = all(setting in champion and values.holds(champion[setting]) for setting, values in search.space.items())
    if fits:
        starts.append(("champion", {setting: champion[setting] for setting in search.space}))
    for _, start in starts:
        study.enqueue_trial({setting: search.space[setting].encode(value) for setting, value in start.items()})
    space = {setting: _distribution(spec, setting, values) for setting, values in search.space.items()}
    done: list[Trial] = []
    began = perf_counter()
    while len(done) < policy.trials and not _is_over(policy, perf_counter() - began, done):
        proposals = [study.ask(space) for _ in range(min(judge.at_once, policy.trials - len(done)))]
        origins = [starts[one.number][0] if one.number < len(starts) else "search" for one in proposals]
        for trial in _judge(study, proposals, origins, spec, search, judge):
            done.append(trial)
            best = choose_trial(done, greater)
            log.info(
                "%s: trial %d of %d %s, %s %.5g after %d rounds, %.1f s (best %.5g): %s%s",
                spec.candidate_name,
                trial.number + 1,
                policy.trials,
                trial.state,
                terms.primary,
                trial.value,
                len(trial.figures),
                trial.seconds,
                best.value if best else math.nan,
                trial.settings,
                f"; {trial.note}" if trial.note else "",
            )
            log_trial(trial)
    return tuple(done)


def _is_over(policy: TuningSpec, seconds: float, done: Sequence[Trial]) -> bool:
    return policy.minutes is not None and bool(done) and seconds > 60.0 * policy.minutes


def _judge(
    study: Study, proposals: Sequence[Proposal], origins: Sequence[str], spec: ModelSpec, search: Search, judge: Judge
) -> list[Trial]:
    """Measure settings that were proposed together, and report them to the study."""
    from optuna.trial import TrialState as OptunaState

    settings = [{name: search.space[name].decode(drawn) for name, drawn in one.params.items()} for one in proposals]
    values: list[list[float]] = [[] for _ in proposals]

    def report_of(place: int) -> Report:
        def report(number: int, value: float) -> bool:
            values[place].append(value)
            proposals[place].report(sum(values[place]) / len(values[place]), number)
            return proposals[place].should_prune()

        return report

    began, note = perf_counter(), ""
    try:
        judge.judge([with_settings(spec, one) for one in settings], [report_of(place) for place in range(len(proposals))])
    except (TitleholderError, ArithmeticError, ValueError) as error:
        note = f"{type(error).__name__}: {error}"[:500]
    seconds = (perf_counter() - began) / len(proposals)
    states = {
        TrialState.FAILED: OptunaState.FAIL,
        TrialState.PRUNED: OptunaState.PRUNED,
        TrialState.COMPLETE: OptunaState.COMPLETE,
    }
    trials = []
    for proposal, origin, one, got in zip(proposals, origins, settings, values, strict=True):
        is_broken = bool(note) or not got or not all(map(math.isfinite, got))
        state = TrialState.PRUNED if len(got) < judge.rounds else TrialState.COMPLETE
        state = TrialState.FAILED if is_broken else state
        study.tell(proposal, sum(got) / len(got) if state is TrialState.COMPLETE else None, states[state])
        trials.append(
            Trial(
                number=proposal.number,
                origin=origin,
                state=state,
                settings=one,
                figures=() if is_broken else tuple(got),
                seconds=seconds,
                note=(note or f"not a number: {got}") if is_broken else "",
            )
        )
    return trials


def choose_trial(trials: Sequence[Trial], greater_is_better: bool) -> Trial | None:
    """The best of those that went through all rounds; ties go to the first."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    sign = 1.0 if greater_is_better else -1.0
    return max(complete, key=lambda trial: sign * trial.value, default=None)


def _distribution(spec: ModelSpec, setting: str, values: Values) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if values.choices is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in values.choices])
    low, high = values.low or 0.0, values.high or 0.0
    if number_type(type(spec), setting) is int:
        return IntDistribution(int(low), int(high), log=values.log)
    return FloatDistribution(low, high, log=values.log)
