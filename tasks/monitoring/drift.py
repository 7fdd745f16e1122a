"""The core: two samples and the checks in, verdicts and Evidently's report out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.contracts import CheckResult
from tasks.monitoring.bins import cut_into_bins
from tasks.monitoring.checks import DriftCheck

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Pair:
    """One column of one check, both sides."""

    check: DriftCheck
    column: str
    title: str
    reference: pd.Series
    current: pd.Series

    @property
    def is_empty(self) -> bool:
        return not len(self.reference) or not len(self.current)


def measure_drift(
    checks: Sequence[DriftCheck],
    current: tuple[pd.DataFrame, pd.DataFrame],
    reference: tuple[pd.DataFrame, pd.DataFrame],
) -> tuple[tuple[CheckResult, ...], str]:
    """Judge every column of every check.

    Parameters
    ----------
    current, reference : of each side, the rows (with the columns of all checks) and the predictions (column `prediction`).

    Returns
    -------
    One result for each column of each check, in their order; and Evidently's report as HTML, empty where nothing could be
    compared. With fewer values than the check's `min_rows` on one side a result has the distance, no violation and a note.
    """
    pairs: list[_Pair] = []
    for check in checks:
        before, now = check.observe(*reference), check.observe(*current)
        for column in before:
            taken = {pair.title for pair in pairs}
            title = next(t for t in (column, f"{column} ({check.method})", f"{column} ({len(pairs) + 1})") if t not in taken)
            pairs.append(_Pair(check, column, title, before[column], now[column]))
    distances, html = _run_evidently([pair for pair in pairs if not pair.is_empty])
    return tuple(_judge(pair, distances.get(pair.title, 0.0)) for pair in pairs), html


def _judge(pair: _Pair, distance: float) -> CheckResult:
    check, note = pair.check, ""
    for values, where in ((pair.current, "in the window"), (pair.reference, "in the reference")):
        if len(values) < check.min_rows:
            note = note or f"not judged: {len(values)} values {where}, {check.min_rows} needed"
    return CheckResult(
        check=check.kind,
        column=pair.column,
        method=check.method,
        value=distance,
        threshold=check.threshold,
        violated=not note and distance >= check.threshold,
        note=note,
    )


def _run_evidently(pairs: Sequence[_Pair]) -> tuple[dict[str, float], str]:
    """Title -> distance, and the report as one HTML page."""
    if not pairs:
        return {}, ""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    cut = {pair.title: cut_into_bins(pair.reference, pair.current) for pair in pairs}
    definition = DataDefinition(categorical_columns=list(cut))
    # columns of unequal length are filled up with nothing, which Evidently drops column by column
    before, now = (
        Dataset.from_pandas(pd.DataFrame({title: sides[side] for title, sides in cut.items()}), data_definition=definition)
        for side in (0, 1)
    )
    metrics = [ValueDrift(column=pair.title, method=pair.check.method, threshold=pair.check.threshold) for pair in pairs]
    snapshot = Report(metrics).run(now, before)
    # found by configuration: the names of metrics hold their parameters
    distances = {entry["config"]["column"]: float(entry["value"]) for entry in snapshot.dict()["metrics"]}
    return distances, str(snapshot.get_html_str(as_iframe=False))
