"""The core: evidence and checks in, verdicts out; and Evidently's report of the same columns, for people."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.contracts.monitoring import CheckResult
from tasks.stages.monitoring.bins import cut_into_bins
from tasks.stages.monitoring.checks.base import Distance, DriftCheck, Evidence


def judge(checks: Sequence[DriftCheck], seen: Evidence) -> tuple[CheckResult, ...]:
    """One result for each column or figure of each check, in their order."""
    return tuple(result for check in checks for result in check.judge(seen))


def render_evidently(checks: Sequence[DriftCheck], seen: Evidence) -> str:
    """Evidently's page of the samples, empty where nothing can be compared.

    It works in memory on samples, so its distances differ slightly from those of the checks, which use all rows.
    """
    shown: dict[str, Distance] = {}
    for one in (distance for check in checks for distance in check.distances):
        if all(len(side) for side in seen.samples[one.table, one.column]):
            titles = (one.column, f"{one.column} ({one.method})", f"{one.column} ({len(shown) + 1})")
            shown[next(title for title in titles if title not in shown)] = one
    if not shown:
        return ""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    cut = {title: cut_into_bins(*seen.samples[one.table, one.column]) for title, one in shown.items()}
    definition = DataDefinition(categorical_columns=list(cut))
    # columns of unequal length are filled up with nothing, which Evidently drops column by column
    before, now = (
        Dataset.from_pandas(pd.DataFrame({title: sides[side] for title, sides in cut.items()}), data_definition=definition)
        for side in (0, 1)
    )
    metrics = [ValueDrift(column=title, method=one.method, threshold=one.threshold) for title, one in shown.items()]
    return str(Report(metrics).run(now, before).get_html_str(as_iframe=False))
