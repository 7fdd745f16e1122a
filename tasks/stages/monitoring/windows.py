"""Which snapshots a window is compared with: the thin edge between storage, the records of answers, and `monitor`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.calendar import NO_CALENDAR, UTC_ZONE, Calendar, start_of_day
from tasks.contracts.data import DatasetRef
from tasks.contracts.monitoring import DriftReport
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import ProbabilityOf
from tasks.io.events import EventStore
from tasks.io.history import find_superseded, list_names
from tasks.io.orders import ORDER_DAYS
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage
from tasks.problems import problem_of
from tasks.stages.monitoring.checks.base import DriftCheck
from tasks.stages.monitoring.exposures import publish_exposures
from tasks.stages.monitoring.labels import LabelPolicy
from tasks.stages.monitoring.quality import Cohort
from tasks.stages.monitoring.report import Side, WindowPair, monitor, recent

_log = logging.getLogger(__name__)

USUAL_DAYS = 56  # before the window: eight of each weekday


@dataclass(frozen=True)
class MonitoringTerms:
    """What is monitored in a use case.

    reference_days : the newest days of the champion's own data are the reference.
    current_days : so many days that end with the window are compared; None: the window as it is. Faults are looked for in the
        window alone: a fault of one day is no fault of the days after it.
    probability_of : whom the probabilities of lists are about.
    calendar, zone : which days are closed, and where days begin.
    order_days : the same `event_id` so many days later is another order.
    """

    task: TaskKind
    checks: Sequence[DriftCheck]
    labels: LabelPolicy
    reference_days: int
    current_days: int | None = None
    probability_of: ProbabilityOf = ProbabilityOf.ALL_KNOWN_USERS
    calendar: Calendar = NO_CALENDAR
    zone: ZoneInfo = UTC_ZONE
    order_days: float = ORDER_DAYS


@dataclass(frozen=True)
class AnswerRecords:
    """What was answered, and what is known of it beside the validated data.

    events : the store of the outcomes that clients sent.
    learned : the rows of the champion's split, where it answers rows.
    """

    log: PredictionLog
    events: EventStore
    learned: Sequence[DatasetRef] = ()


def monitor_window(
    terms: MonitoringTerms,
    window: Window,
    champion: ModelVersion,
    storage: Storage,
    records: AnswerRecords,
    *,
    seed: int,
    run_tags: dict[str, str],
    history: Sequence[DriftReport] = (),
) -> DriftReport | None:
    """Compare a window with what the champion learned; None where nothing was validated in it.

    Parameters
    ----------
    history : earlier reports, for the plot.
    """
    use_case, current_days = champion.use_case, terms.current_days
    own = storage.current(use_case, c.VALIDATED, window.label)
    if own is None:
        return None
    validated = storage.history(use_case, c.VALIDATED, window.end)
    compared = Window.before(window.end, current_days or window.days)
    rows = [own] if current_days is None else recent(validated, window.end, current_days)
    reference = recent(storage.history(use_case, c.VALIDATED, champion.as_of), champion.as_of, terms.reference_days)
    earlier, days = [ref for ref in validated if Window.from_label(ref.partition).end <= window.start], timedelta(USUAL_DAYS)
    pair = WindowPair(
        window,
        Side(rows, _answers(champion, compared, storage)),
        Side(reference, _reference_answers(champion, terms.reference_days, compared, storage)),
        f"version {champion.version}, data before {champion.as_of}",
        span=compared,
        own=None if rows == [own] else [own],
        before=[ref for ref in earlier if Window.from_label(ref.partition).end > window.start - days],
        calendar=terms.calendar,
        zone=terms.zone,
        previous=earlier[-1] if earlier else None,
        new_labels=count_labels(storage, validated, terms.task, champion.as_of, records.learned, zone=terms.zone),
        champion_digest=champion.manifest_digest,
        figures=_count_sent(use_case, window, records, terms.zone),
    )
    return monitor(
        use_case,
        terms.checks,
        pair,
        storage,
        seed=seed,
        run_tags=run_tags,
        cohort=_find_cohort(terms, window, champion, validated, storage, records),
        history=[one for one in history if one.window.end < window.end],
    )


def _learned(champion: ModelVersion, days: int) -> Window:
    """The days of the features for which the champion predicted in its reference; its last day included."""
    return Window(start=champion.as_of - timedelta(days=days), end=champion.as_of + timedelta(days=1))


def _answers(champion: ModelVersion, days: Window, storage: Storage) -> list[DatasetRef]:
    """The champion's batch answers of the features of some days. Online ones are still arriving, so they are left out."""
    partitions = (f"v{champion.version}.{days.start + timedelta(days=n)}" for n in range(days.days))
    found = (storage.current(champion.use_case, c.PREDICTIONS, partition) for partition in partitions)
    return [ref for ref in found if ref is not None]


def _reference_answers(champion: ModelVersion, reference_days: int, compared: Window, storage: Storage) -> list[DatasetRef]:
    """The champion's batch answers of its reference; else its first ones, as many days as are compared with them.

    A version that a person approved days later has no answer of its reference.
    """
    learned = _answers(champion, _learned(champion, reference_days), storage)
    mark = f"v{champion.version}."
    days = [
        date.fromisoformat(partition.removeprefix(mark))
        for partition in storage.partitions(champion.use_case, c.PREDICTIONS)
        if partition.startswith(mark)
    ]
    if learned or not days:
        return learned
    end = min(min(days) + timedelta(days=compared.days), compared.start)
    return _answers(champion, Window(start=min(days), end=end), storage) if end > min(days) else []


def count_labels(
    storage: Storage,
    history: Sequence[DatasetRef],
    task: TaskKind,
    since: date,
    learned: Sequence[DatasetRef] = (),
    *,
    zone: ZoneInfo = UTC_ZONE,
) -> int:
    """How many labels happened from a day on: purchases and ratings that a model can learn, or rows with a class.

    What is delivered again counts once: a row has the name that its source gives it, and a purchase is all that one order has
    of an item.

    Parameters
    ----------
    history : validated snapshots; their windows may overlap.
    learned : rows that are no new ones, although they were delivered again.
    zone : whose day it is.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

    newer = [ref for ref in history if Window.from_label(ref.partition).end > since]
    superseded = find_superseded(storage, newer)
    found = []
    for ref in newer:
        rows = ds.dataset(storage.table(ref), format="parquet")
        at = rows.schema.field(c.EVENT_AT).type
        midnight = start_of_day(since, zone)
        wanted = ds.field(c.EVENT_AT) >= pa.scalar(midnight if at.tz else midnight.replace(tzinfo=None), at)
        if task.answers_rows:
            wanted &= ds.field(c.TARGET).is_valid()
        else:
            wanted &= (ds.field(c.EVENT_TYPE) == problem_of(task).label_event) & ds.field(c.USER_ID).is_valid()
        if old := superseded.get(ref.partition):
            wanted &= ~ds.field(c.SOURCE_FILE).isin(pa.array(old, pa.string()))
        keys = [] if task.answers_rows else [c.USER_ID, c.ITEM_ID]
        columns = [name for name in (c.EVENT_ID, c.ROW_ID, *keys) if name in rows.schema.names]
        frame = rows.to_table(columns, filter=wanted).to_pandas()
        if not task.rates_pairs:
            frame[c.ROW_ID] = list_names(frame)
        found.append(frame[[c.ROW_ID, *keys]])
    if not found:
        return 0
    labels = pd.concat(found).drop_duplicates()
    known = {name for ref in learned for name in storage.read(ref, c.ROWS, [c.ROW_ID])[c.ROW_ID]}
    return int((~labels[c.ROW_ID].isin(known)).sum())


def _count_sent(use_case: str, window: Window, records: AnswerRecords, zone: ZoneInfo) -> dict[str, float]:
    """How many outcomes clients sent in a window, and how many of them name an answer that the log does not have."""
    start, end = (start_of_day(day, zone) for day in (window.start, window.end))
    sent = [one.prediction_id for one in records.events.outcomes_between(use_case, start, end)]
    known = records.log.find_known(use_case, set(sent))
    unknown = [one for one in sent if one not in known]
    if unknown:
        _log.warning(
            "%s: %d of %d outcomes that were sent in %s name a prediction that the log does not have, such as %s: check that "
            "clients send the prediction_id of the answer",
            use_case,
            len(unknown),
            len(sent),
            window.label,
            unknown[0],
        )
    return {"sent_outcomes": float(len(sent)), "unknown_outcomes": float(len(unknown))}


def _find_cohort(
    terms: MonitoringTerms,
    window: Window,
    champion: ModelVersion,
    validated: Sequence[DatasetRef],
    storage: Storage,
    records: AnswerRecords,
) -> Cohort:
    """The newest answers whose outcomes are all in."""
    cohort = terms.labels.cohort_of(window)
    span = terms.labels.span_of(cohort, terms.task)
    outcomes = [ref for ref in validated if Window.from_label(ref.partition).end > span.start]
    start, known_by = (start_of_day(day, terms.zone) for day in (span.start, terms.labels.matures_on(cohort)))
    # The log's days are in UTC. No answer rests on features that did not exist yet.
    answers = records.log.read(champion.use_case, since=start.date())
    sent = records.events.outcomes_between(champion.use_case, start, known_by)
    return Cohort(
        cohort,
        publish_exposures(champion.use_case, cohort, span, answers, sent, storage, zone=terms.zone),
        outcomes,
        terms.labels,
        terms.task,
        champion.version,
        champion.as_of,
        records.learned,
        terms.probability_of,
        terms.zone,
        terms.order_days,
    )
