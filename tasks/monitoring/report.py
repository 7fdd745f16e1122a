"""Compare a window with what the champion learned, write it down as one MLflow run, and hand the verdict on.

A run holds drift.html (Evidently's report), drift.png and drift.json, and is found again by its key: the same checks on the
same data are compared once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from tasks import tracking
from tasks.columns import PREDICTION, ROW_ID, ROWS
from tasks.contracts import CheckResult, DatasetRef, DriftReport, Prediction, Window
from tasks.errors import ConfigurationError
from tasks.monitoring.checks import DriftCheck
from tasks.storage import Storage

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 20_000  # of each side; the distances are stable from far fewer on, and Evidently works in memory


def monitor(
    use_case: str,
    checks: Sequence[DriftCheck],
    window: Window,
    current: DatasetRef,
    reference: Sequence[DatasetRef],
    reference_label: str,
    predictions: Sequence[Prediction],
    reference_predictions: Sequence[Prediction],
    storage: Storage,
    seed: int,
    run_tags: dict[str, str],
) -> DriftReport:
    """Run the checks on a window and record what they saw.

    Parameters
    ----------
    current, reference : the snapshot of the window, and those that the champion was trained on. Table `rows` is read.
    reference_label : how the reference is called in the report, e.g. `champion 3, 2011-01-01..2011-03-01`.
    predictions, reference_predictions : what the prediction log holds of the window and of the reference.
    seed : picks the sample of at most 20,000 rows and scores of each side, by a hash of the row id.

    Raises
    ------
    ConfigurationError : a check names a column that the snapshots do not have.
    ServiceUnavailable : MLflow does not answer.
    """
    from tasks.monitoring.drift import measure_drift
    from tasks.monitoring.pictures import add_summary, plot_drift

    key = _make_key(use_case, checks, window, current, reference, predictions, reference_predictions, seed)
    finished = tracking.find_finished_run(use_case, key)
    if finished is not None:
        return DriftReport.from_json(tracking.read_run_dict(finished.info.run_id, "drift.json")["report"])

    columns = sorted({column for check in checks for column in check.row_columns})
    measured, html = measure_drift(
        checks,
        current=(read_sample(storage, [current], columns, seed), sample_scores(predictions, seed)),
        reference=(read_sample(storage, reference, columns, seed), sample_scores(reference_predictions, seed)),
    )
    with tracking.start_run(use_case, f"monitoring {window.label}", key, run_tags) as run:
        report = DriftReport(
            use_case=use_case,
            window=window,
            reference=reference_label,
            current_rows=current.rows[ROWS],
            reference_rows=sum(ref.rows[ROWS] for ref in reference),
            checks=measured,
            violated=any(result.violated for result in measured),
            report_uri=tracking.artifact_page(run.run_id, use_case, "drift.html") if html else "",
            run_id=run.run_id,
        )
        run.log_params(
            {
                "window": window.label,
                "reference": reference_label,
                "current_rows": report.current_rows,
                "reference_rows": report.reference_rows,
                "sample_rows": SAMPLE_ROWS,
                "seed": seed,
                "violated": report.violated,
            }
        )
        run.log_metrics({**_name_metrics(measured), "violations": sum(result.violated for result in measured)})
        if html:
            run.log_text(add_summary(html, report), "drift.html")
            run.log_figure(plot_drift(report), "drift.png")
        inputs = {"current": current.to_json(), "reference": [ref.to_json() for ref in reference]}
        run.log_dict({"report": report.to_json(), "checks": [check.model_dump() for check in checks], **inputs}, "drift.json")
    return report


def recent(history: Sequence[DatasetRef], as_of: date, days: int) -> list[DatasetRef]:
    """Of snapshots of windows, those that reach into the `days` days before `as_of`, and no further than `as_of`."""
    newest = Window.before(as_of, days)
    windows = [(Window.from_label(ref.partition), ref) for ref in history]
    return [ref for window, ref in windows if newest.start < window.end <= newest.end]


def read_sample(
    storage: Storage, refs: Sequence[DatasetRef], columns: Sequence[str], seed: int, most: int = SAMPLE_ROWS
) -> pd.DataFrame:
    """At most `most` rows of several snapshots together; no more than that and one snapshot are in memory at once."""
    import pandas as pd

    kept = pd.DataFrame(columns=[ROW_ID, *columns])
    for ref in sorted(refs, key=lambda ref: ref.key):
        allowed = storage.manifest(ref)["schema"][ROWS]
        for column in columns:
            if column not in allowed:
                raise ConfigurationError(
                    f"{ref.use_case}: drift.checks: no column {column!r} in snapshot {ref.key}; allowed: {', '.join(allowed)}"
                )
        rows = take_sample(storage.read(ref, ROWS, list(dict.fromkeys([ROW_ID, *columns]))), seed, most)
        kept = take_sample(pd.concat([kept, rows], ignore_index=True), seed, most) if len(kept) else rows
    return kept


def sample_scores(predictions: Sequence[Prediction], seed: int, most: int = SAMPLE_ROWS) -> pd.DataFrame:
    """At most `most` of the scores that were given out, one a row."""
    import pandas as pd

    answers = pd.DataFrame({ROW_ID: [p.prediction_id for p in predictions], PREDICTION: [p.scores for p in predictions]})
    answers = answers.astype({ROW_ID: object})  # also where there is none to tell by
    scores = take_sample(answers, seed, most).explode(PREDICTION, ignore_index=True)
    scores[ROW_ID] += "/" + scores.groupby(ROW_ID).cumcount().astype(str)
    return take_sample(scores.dropna(subset=[PREDICTION]).astype({PREDICTION: float}), seed, most)


def take_sample(rows: pd.DataFrame, seed: int, most: int) -> pd.DataFrame:
    """The `most` rows with the smallest hash of their id: the same ones in whatever order the rows come."""
    import pandas as pd

    ids = rows[ROW_ID].astype(str)
    hashes = pd.util.hash_array(ids.to_numpy(dtype=object), hash_key=f"{seed:016d}"[-16:], categorize=False)
    order = pd.DataFrame({"hash": hashes, "id": ids.to_numpy()}).sort_values(["hash", "id"], kind="stable").index
    return rows.iloc[order[:most]].reset_index(drop=True)


def _name_metrics(measured: Sequence[CheckResult]) -> dict[str, float]:
    """`drift_<column>`, with the method where a column is measured by two."""
    named: dict[str, float] = {}
    for result in measured:
        column = "".join(letter if letter.isalnum() or letter in " _-." else "_" for letter in result.column)
        name = f"drift_{column}"
        named[f"{name}_{result.method}" if name in named else name] = result.value
    return named


def _make_key(
    use_case: str,
    checks: Sequence[DriftCheck],
    window: Window,
    current: DatasetRef,
    reference: Sequence[DatasetRef],
    predictions: Sequence[Prediction],
    reference_predictions: Sequence[Prediction],
    seed: int,
) -> str:
    """Everything that the report depends on, as one digest."""
    seen: list[object] = [use_case, window.label, current.digest, sorted(ref.digest for ref in reference), seed, SAMPLE_ROWS]
    seen.append([check.model_dump(mode="json") for check in checks])
    if any(check.wants_predictions for check in checks):
        seen += [sorted((p.prediction_id, p.scores) for p in side) for side in (predictions, reference_predictions)]
    return "monitoring-" + hashlib.sha256(json.dumps(seen).encode()).hexdigest()
