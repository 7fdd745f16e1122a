"""Compare a window with its reference, record the results as one MLflow run, and return the report.

A run holds drift.html (a summary and Evidently's report), drift.png, history.png and drift.json, and is found again by its
key: the same checks on the same data are made once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.code_version import identify_code
from tasks.contracts.base import Window
from tasks.contracts.calendar import NO_CALENDAR, UTC_ZONE, Calendar
from tasks.contracts.data import DatasetRef
from tasks.contracts.monitoring import CheckResult, DriftReport
from tasks.contracts.predictions import AnswerPath
from tasks.errors import ConfigurationError
from tasks.io import tracking
from tasks.io.history import find_superseded, list_names, name_of, read_history
from tasks.io.storage import Storage
from tasks.stages.monitoring.checks.base import NEVER_EQUAL, PREDICTIONS_OF, ROWS_OF, DriftCheck
from tasks.stages.monitoring.quality import Cohort, Measured, measure_cohort

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

SMALL_ROWS = 1_000_000  # of all sides together: so many are counted in memory, which takes about 1 GB


@dataclass(frozen=True)
class Side:
    """One side of the comparison: snapshots of validated rows, and of the champion's batch answers."""

    rows: Sequence[DatasetRef]
    predictions: Sequence[DatasetRef] = ()


@dataclass(frozen=True)
class WindowPair:
    """A window and what it is compared with.

    current, reference : what is compared, and what the champion was trained on.
    span : the days that are compared, which end with the window; None: those of the window.
    own : the snapshots of the window alone, in which faults are looked for; None: those of `current`.
    before : snapshots of the days before the window, which say how many rows are usual; None: those of the reference.
    calendar, zone : which days are closed, and where days begin.
    reference_label : the name of the reference in the report, such as `champion 3, 2011-01-01..2011-03-01`.
    previous : the snapshot of the window before this one; None where there is none.
    new_labels : how many labels came after what the champion learned; None where they were not counted.
    champion_digest : the manifest's digest of the champion; empty outside of a champion's monitoring.
    figures : name -> value of what was measured of the window already.
    """

    window: Window
    current: Side
    reference: Side
    reference_label: str
    span: Window | None = None
    own: Sequence[DatasetRef] | None = None
    before: Sequence[DatasetRef] | None = None
    calendar: Calendar = NO_CALENDAR
    zone: ZoneInfo = UTC_ZONE
    previous: DatasetRef | None = None
    new_labels: int | None = None
    champion_digest: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def monitor(
    use_case: str,
    checks: Sequence[DriftCheck],
    pair: WindowPair,
    storage: Storage,
    *,
    seed: int,
    run_tags: dict[str, str],
    cohort: Cohort | None = None,
    history: Sequence[DriftReport] = (),
) -> DriftReport:
    """Run the checks on a window and record the results.

    Parameters
    ----------
    seed : picks the samples, by a hash of the row id.
    cohort : the newest mature answers; None: their quality is not measured.
    history : earlier reports, for the plot only.

    Raises
    ------
    ConfigurationError : a check names a column that the snapshots do not have.
    ServiceUnavailable : MLflow does not answer.
    """
    from tasks.stages.monitoring.evidence import ComparedRows, engine_of, gather
    from tasks.stages.monitoring.judging import judge, render_evidently
    from tasks.stages.monitoring.plots import plot_drift, plot_history
    from tasks.stages.monitoring.report_page import write_page

    key = _make_key(use_case, checks, pair, cohort, seed)
    finished = tracking.find_finished_run(use_case, key)
    if finished is not None:
        return DriftReport.from_json(tracking.read_run_dict(finished.info.run_id, "drift.json")["report"])

    window, current, reference, previous = pair.window, pair.current, pair.reference, pair.previous
    for side in (current, reference):
        _refuse_missing_columns(use_case, checks, side.rows, storage)
    tables = {ref.key: ref for side in (current, reference) for ref in (*side.rows, *side.predictions)}
    is_small = sum(ref.rows[c.ROWS] for ref in tables.values()) <= SMALL_ROWS
    before, now = (_read_side(storage, side, checks, is_small) for side in (reference, current))
    quality = measure_cohort(storage, cohort) if cohort is not None else Measured({}, {})
    measured_now = engine_of(now[ROWS_OF]).measure_predictions(now[PREDICTIONS_OF], now[ROWS_OF])
    figures = {**measured_now, **pair.figures, **quality.figures}
    rows = ComparedRows(
        window,
        before,
        now,
        span=pair.span,
        own=_read_side(storage, Side(pair.own), checks, is_small)[ROWS_OF] if pair.own is not None else None,
        before=_read_side(storage, Side(pair.before), [], is_small)[ROWS_OF] if pair.before is not None else None,
        calendar=pair.calendar,
        zone=pair.zone,
        previous=_read_side(storage, Side([previous]), checks, is_small)[ROWS_OF] if previous is not None else None,
        known_until=Window.from_label(previous.partition).end if previous is not None else None,
    )
    seen = gather(checks, rows, figures=figures, notes=quality.notes, seed=seed)
    measured, html = judge(checks, seen), render_evidently(checks, seen)
    with tracking.start_run(use_case, f"monitoring {window.label}", key, run_tags) as run:
        report = DriftReport(
            use_case=use_case,
            window=window,
            reference=pair.reference_label,
            current_rows=sum(ref.rows[c.ROWS] for ref in current.rows),
            reference_rows=sum(ref.rows[c.ROWS] for ref in reference.rows),
            checks=measured,
            violated=any(result.violated for result in measured),
            report_uri=tracking.artifact_page(run.run_id, use_case, "drift.html") if html else "",
            run_id=run.run_id,
            evidence=key.removeprefix("monitoring-"),
            new_labels=pair.new_labels,
            figures=figures,
            notes=quality.notes,
        )
        params = {"window": window.label, "reference": pair.reference_label, "seed": seed, "violated": report.violated}
        run.log_params({**params, "current_rows": report.current_rows, "reference_rows": report.reference_rows})
        run.log_metrics({**_name_metrics(measured), **figures, "violations": sum(result.violated for result in measured)})
        if html:
            run.log_text(write_page(report, html), "drift.html")
        if measured:
            run.log_figure(plot_drift(report), "drift.png")
            run.log_figure(plot_history([*history, report]), "history.png")
        run.log_dict({"report": report.to_json(), "checks": [check.model_dump(mode="json") for check in checks]}, "drift.json")
    return report


def recent(history: Sequence[DatasetRef], as_of: date, days: int) -> list[DatasetRef]:
    """Of snapshots of windows, those that reach into the `days` days before `as_of`, and no further than `as_of`."""
    newest = Window.before(as_of, days)
    windows = [(Window.from_label(ref.partition), ref) for ref in history]
    return [ref for window, ref in windows if newest.start < window.end <= newest.end]


def _read_side(storage: Storage, side: Side, checks: Sequence[DriftCheck], is_small: bool) -> dict[str, Any]:
    """Rows and batch answers of one side, in memory where they are few."""
    columns = sorted({column for check in checks for table, column in check.wanted if table != PREDICTIONS_OF})
    needs_all = any(check.wants_facts for check in checks)
    if not is_small:
        from tasks.io.spark import get_spark

        spark = get_spark()
        empty = ", ".join([*(f"`{name}` string" for name in (c.ROW_ID, *columns)), f"{c.EVENT_AT} timestamp"])
        many = read_history(spark, storage, side.rows, None) if side.rows else spark.createDataFrame([], empty)
        return {ROWS_OF: many, PREDICTIONS_OF: read_predictions(spark, storage, side.predictions, many)}
    import pandas as pd

    superseded = find_superseded(storage, side.rows)
    parts = []
    for ref in side.rows:
        there = list(storage.manifest(ref)["schema"][c.ROWS])
        named = [*columns, c.ITEM_ID, c.USER_ID, c.EVENT_ID, c.EVENT_AT]
        kept = [name for name in there if name not in NEVER_EQUAL] if needs_all else named
        old = superseded.get(ref.partition, frozenset())
        names = dict.fromkeys([c.ROW_ID, *kept, *([c.SOURCE_FILE] if old else [])])
        frame = storage.read(ref, c.ROWS, [name for name in names if name in there])
        parts.append(frame[~frame[c.SOURCE_FILE].isin(old)].drop(columns=c.SOURCE_FILE) if old else frame)
    rows = pd.concat(parts, ignore_index=True) if parts else _no_rows(columns)
    answers = [_as_answers(storage.read(ref, c.ROWS), ref.partition, rows) for ref in side.predictions]
    return {
        ROWS_OF: rows,
        PREDICTIONS_OF: pd.concat([_no_answers(), *answers], ignore_index=True) if answers else _no_answers(),
    }


def _no_rows(columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in (c.ROW_ID, *columns)})
    return empty.assign(**{c.EVENT_AT: pd.Series(dtype="datetime64[ns, UTC]")})


def _no_answers() -> pd.DataFrame:
    import pandas as pd

    names = ("row_id", "subject", c.ITEM_ID, "path")
    return pd.DataFrame({**{name: pd.Series(dtype=object) for name in names}, c.PREDICTION: pd.Series(dtype="float64")})


def _as_answers(rows: pd.DataFrame, snapshot: str, of: pd.DataFrame) -> pd.DataFrame:
    """Answers as rows of one table. Of a table's answers only those of the rows `of` count (see `read_predictions`)."""
    import pandas as pd

    is_list = c.USER_ID in rows
    rows = rows if is_list else rows[rows[c.ROW_ID].isin(list_names(of))]
    subject = rows[c.USER_ID if is_list else c.ROW_ID].astype(str)
    # The length separates a subject from an item, as either may have a slash.
    ids = snapshot + "/" + subject.str.len().astype(str) + "/" + subject
    ids += "/" + rows[c.ITEM_ID].astype(str) if is_list else ""
    answers = {"row_id": ids, "subject": subject, c.ITEM_ID: rows[c.ITEM_ID] if is_list else None}
    return pd.DataFrame(
        {**answers, "path": rows["path"] if is_list else AnswerPath.MODEL.value, c.PREDICTION: rows[c.PREDICTION]}
    )


def read_predictions(spark: SparkSession, storage: Storage, refs: Sequence[DatasetRef], of: DataFrame) -> DataFrame:
    """Batch answers: `row_id`, `subject`, `item_id` (null for tabular), `prediction`, `path`. None may be given.

    Parameters
    ----------
    of : of a table's answers only those of these rows count, because each snapshot answers all rows so far.
    """
    from pyspark.sql import functions as F

    names = ("row_id", "subject", c.ITEM_ID, "path")
    if not refs:
        return spark.createDataFrame([], ", ".join([*(f"{name} string" for name in names), f"{c.PREDICTION} double"]))
    rows = spark.read.parquet(*(str(storage.table(ref, c.ROWS)) for ref in refs))
    file = F.input_file_name()
    snapshot = F.substring_index(F.substring_index(file, "/", -4), "/", 1)  # .../<snapshot>/<version>/rows/<file>
    rows = rows.withColumn("_snapshot", snapshot)
    is_list = c.USER_ID in rows.columns
    if not is_list:
        rows = rows.join(of.select(name_of(of).alias(c.ROW_ID)), c.ROW_ID, "left_semi")
    subject = F.col(c.USER_ID if is_list else c.ROW_ID)
    item = F.col(c.ITEM_ID) if is_list else F.lit(None).cast("string")
    return rows.select(
        F.concat_ws("/", "_snapshot", F.length(subject).cast("string"), subject, item).alias("row_id"),
        subject.alias("subject"),
        item.alias(c.ITEM_ID),
        (F.col("path") if is_list else F.lit(AnswerPath.MODEL.value)).alias("path"),
        F.col(c.PREDICTION),
    )


def _refuse_missing_columns(use_case: str, checks: Sequence[DriftCheck], refs: Sequence[DatasetRef], storage: Storage) -> None:
    for ref in refs:
        allowed = storage.manifest(ref)["schema"][c.ROWS]
        for table, column in sorted({one for check in checks for one in check.wanted}):
            if table != PREDICTIONS_OF and column not in allowed:
                raise ConfigurationError(
                    f"{use_case}: drift.checks: no column {column!r} in snapshot {ref.key}; allowed: {', '.join(allowed)}"
                )


def _name_metrics(measured: Sequence[CheckResult]) -> dict[str, float]:
    """`drift_<column>`, with the method where a column is measured by two."""
    named: dict[str, float] = {}
    for result in measured:
        column = "".join(letter if letter.isalnum() or letter in " _-." else "_" for letter in result.column)
        name = f"drift_{column}"
        named[f"{name}_{result.method}" if name in named else name] = result.value
    return named


def _make_key(use_case: str, checks: Sequence[DriftCheck], pair: WindowPair, cohort: Cohort | None, seed: int) -> str:
    """Everything that the report depends on, as one digest."""
    previous = pair.previous and [pair.previous.partition, pair.previous.version]
    sides = [
        [sorted(ref.key for ref in refs) for refs in (side.rows, side.predictions)] for side in (pair.current, pair.reference)
    ]
    others = [None if refs is None else sorted(ref.key for ref in refs) for refs in (pair.own, pair.before)]
    days = [others, pair.span and pair.span.label, pair.calendar.model_dump(mode="json"), pair.zone.key]
    seen: list[object] = [use_case, pair.window.label, sides, previous, days, seed, pair.new_labels]
    seen += [pair.reference_label, pair.champion_digest, identify_code()]
    seen.append([check.model_dump(mode="json") for check in checks])
    seen.append(sorted(pair.figures.items()))
    if cohort is not None:
        seen.append([cohort.window.label, cohort.policy.model_dump(), cohort.task, cohort.exposures and cohort.exposures.key])
        seen.append([cohort.version, cohort.learned_until.isoformat(), cohort.probability_of])
        seen.append([sorted(ref.key for ref in refs) for refs in (cohort.outcomes, cohort.learned)])
    return "monitoring-" + hashlib.sha256(json.dumps(seen).encode()).hexdigest()
