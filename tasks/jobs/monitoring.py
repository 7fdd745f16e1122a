"""The jobs of `<use_case>.monitoring`: compare new windows with what the champion learned, and decide about retraining."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from tasks import columns as c
from tasks.contracts.base import Contract, Window
from tasks.contracts.data import DatasetRef
from tasks.contracts.monitoring import Ask, Cause, DriftReport, RetrainDecision
from tasks.contracts.promotion import LostVersion, ModelVersion
from tasks.errors import NothingToDo
from tasks.io.notifications import Level, notify
from tasks.jobs.run import Run
from tasks.jobs.scoring import find_champion_fault
from tasks.stages import monitoring as monitoring_stage
from tasks.stages import registry

_log = logging.getLogger(__name__)


class Observation(Contract):
    """One window and its drift report; None where there was nothing to compare."""

    window: Window
    report: DriftReport | None


def reconcile(run: Run, *, now: datetime, is_over: Callable[[str, str], bool]) -> list[str]:
    """Restore what was deleted, compare aliases with the ledger, and close interrupted runs; one line for each finding.

    Parameters
    ----------
    is_over : whether the Airflow run of a `dag_id` and `run_id` has ended.
    """
    policy = run.use_case.registry
    found = registry.restore_deleted(run.name, run.ledger, policy.restore_deleted)
    found += registry.reconcile_aliases(run.name, run.ledger, policy.restore_aliases, now)
    found += registry.close_interrupted_runs(run.name, now, policy.close_runs_after_hours, is_over)
    _log.info("%s", "\n".join(found) or "nothing was deleted, the aliases agree with the ledger, and no run was interrupted")
    return found


def choose_windows(run: Run, *, stated: Window | None, published: Sequence[str], day: date, is_requested: bool) -> list[Window]:
    """The windows that this run decides about, oldest first.

    The stated window, else those of the events that started this run, else those of the newest ones that have no decision
    because their event was lost. A request for a retraining needs a window: it gets the newest one where none is left.

    Parameters
    ----------
    stated : from the form.
    published : labels of the windows of the events that started this run.
    day : the day of the run; no later window is read.
    is_requested : whether the form requests a retraining.
    """
    if stated is not None:
        return [stated]
    if published:
        return [Window.from_label(label) for label in published]
    known = [ref.partition for ref in run.storage.history(run.name, c.VALIDATED, day)]
    undecided = monitoring_stage.find_undecided(known, run.decision_log.decisions(run.name))
    return undecided or [Window.from_label(label) for label in known[-1:] if is_requested]


def monitor(run: Run, *, stated: Window | None, published: Sequence[str], day: date, is_requested: bool) -> list[Observation]:
    """One observation per window of `choose_windows`.

    Without reports before the first champion, and where it is lost: there is nothing to compare with.
    """
    windows = choose_windows(run, stated=stated, published=published, day=day, is_requested=is_requested)
    champion = registry.champion_of(run.name, run.ledger)
    observations = []
    for window in windows:
        report = _monitor_window(run, window, champion) if isinstance(champion, ModelVersion) else None
        if report is not None:
            run.decision_log.record_report(report)
            _log.info("%s: %s", window.label, report.report_uri or "nothing to compare")
        observations.append(Observation(window=window, report=report))
    return observations


def newest_page(observations: Sequence[Observation]) -> str:
    """The address of the newest drift report; empty where none was made."""
    return next((one.report.report_uri for one in reversed(observations) if one.report), "")


def _monitor_window(run: Run, window: Window, champion: ModelVersion) -> DriftReport | None:
    case = run.use_case
    drift = case.drift
    terms = monitoring_stage.MonitoringTerms(
        case.task,
        drift.checks,
        drift.labels,
        drift.reference_days,
        drift.current_days,
        case.probability.of,
        calendar=case.calendar,
        zone=case.zone,
        order_days=case.features.order_days,
    )
    return monitoring_stage.monitor_window(
        terms,
        window,
        champion,
        run.storage,
        monitoring_stage.AnswerRecords(run.prediction_log, run.event_store, _find_learned(run, champion)),
        seed=case.seed,
        run_tags=run.tags,
        history=run.decision_log.reports(run.name),
    )


def _find_learned(run: Run, champion: ModelVersion) -> tuple[DatasetRef, ...]:
    """The rows that the champion has learned from, and those that it was judged on."""
    if not run.use_case.task.answers_rows:
        return ()
    split = registry.read_verdict(run.name, champion.version).candidate.split
    return (*split.before_holdout, split.holdout)


def read_request(form: Mapping[str, Any], run_id: str) -> Ask | None:
    """The form's request for a retraining; None where the form names no one.

    Parameters
    ----------
    form : `asked_by`, `cause`, `reason` and `key`. The same key is the same request, sent again; empty: this run's own.
    """
    if not form["asked_by"]:
        return None
    key = form["key"] or run_id[:100]
    return Ask.model_validate({"cause": form["cause"], "by": form["asked_by"], "reason": form["reason"], "key": key})


def decide_retrain(run: Run, observations: Sequence[Observation], *, form: Mapping[str, Any]) -> RetrainDecision:
    """Record one decision per window, also a no; then see to a request that no training took.

    A champion that cannot answer the present features is a reason to retrain, as a missing one is.

    Parameters
    ----------
    form : a request (see `read_request`) counts for the last window. `accepted_by` counts where `window_start` is stated:
        its data are right although they look broken.

    Returns
    -------
    The newest decision to retrain, also an earlier one whose event was lost; else the last decision.

    Raises
    ------
    NothingToDo : every window has its decision, and every request was taken.
    """
    request = read_request(form, run.run_id)
    accepted_by = form["accepted_by"] if form["window_start"] else ""
    champion = registry.champion_of(run.name, run.ledger)
    fault = champion.reason if isinstance(champion, LostVersion) else find_champion_fault(run) if observations else ""
    decisions = []
    for seen in observations:
        own_request = request if seen is observations[-1] else None
        decision = monitoring_stage.decide_retrain(
            run.name,
            run.use_case.drift.retrain_when,
            seen.window,
            seen.report,
            monitoring_stage.RetrainHistory(
                run.decision_log.decisions(run.name),
                run.ledger.head(run.name),
                champion.as_of if isinstance(champion, ModelVersion) else None,
                run.decision_log.requests(run.name),
                lost_champion=fault,
            ),
            ask=own_request,
            accepted_by=accepted_by,
        )
        record_decision(run, decision)
        decisions.append(decision)
    lost = find_lost_request(run)
    if not decisions and lost is None:
        raise NothingToDo("every window has its decision, and every request was taken")
    retrain = next((one for one in reversed(decisions) if one.retrain), lost)
    return retrain or decisions[-1]


def record_decision(run: Run, decision: RetrainDecision) -> None:
    """Keep a decision, and notify people of one that they must know of, once."""
    is_new = run.decision_log.record_decision(decision)
    if is_new and (decision.alert or decision.cause is Cause.ALERT):
        notify(f"{run.name}: {decision.cause}", f"{decision.window.label}: {decision.reason}", level=Level.WARNING)
    _log.info("%s: %s: %s", decision.window.label, "RETRAIN" if decision.retrain else "no", decision.reason)


def find_lost_request(run: Run) -> RetrainDecision | None:
    """The newest decision to retrain that no training took, because its event was lost."""
    past = run.decision_log.decisions(run.name)
    if not past:
        return None
    policy, today = run.use_case.drift.retrain_when, past[-1].window.end
    return monitoring_stage.find_lost(past, run.decision_log.requests(run.name), policy, today)


def request_retraining(decision: RetrainDecision) -> dict[str, Any]:
    """The extra of the asset `retrain_request`.

    Raises
    ------
    NothingToDo : the decision is not to retrain.
    """
    if not decision.retrain:
        raise NothingToDo(f"no retraining: {decision.reason}")
    return {
        "as_of": decision.window.end.isoformat(),
        "cause": decision.cause.value,
        "reason": decision.reason,
        "idempotency_key": decision.idempotency_key,
    }
