"""A simulated installation: real checks and the real controller over weeks of data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd

from benchmarks.monitoring.shop import make_champion
from benchmarks.monitoring.simulated import COLUMNS, FIRST, make_week
from tasks.columns import TARGET
from tasks.contracts.base import Window
from tasks.contracts.monitoring import DriftReport, RetrainDecision, RetrainRequest
from tasks.stages.monitoring.checks import CHECKS
from tasks.stages.monitoring.checks.base import DriftCheck
from tasks.stages.monitoring.decision import RetrainHistory, RetrainPolicy, decide_retrain
from tasks.stages.monitoring.evidence import ComparedRows, gather
from tasks.stages.monitoring.judging import judge

REFERENCE_WEEKS = 8
POLICY = RetrainPolicy(violations=2, of_last=3, cooldown_days=7, at_most_per_week=1)
NUMBERS = ["amount", "age", "visits"]
DISTANCES = [
    {"kind": "column_drift", "columns": list(COLUMNS), "method": "jensenshannon", "threshold": 0.1},
    {"kind": "label_drift", "column": TARGET, "method": "psi", "threshold": 0.1},
]
CHECK_LIST = [
    CHECKS.parse(entry, "here")
    for entry in (
        *DISTANCES,
        {"kind": "unit_change", "columns": NUMBERS},
        {"kind": "missing_values", "columns": NUMBERS},
        {"kind": "missing_days"},
        {"kind": "volume"},
        {"kind": "doubled_rows"},
        {"kind": "frozen_rows"},
    )
]


def week_of(first: date, number: int) -> Window:
    """The window of a week, counted from the first day."""
    return Window.before(first + timedelta(days=7 * (number + 1)), 7)


@dataclass
class Year:
    """A simulated installation. A retrain request makes a new champion, which serves from the next week on.

    learned : the number of weeks up to which the champion has learned.
    """

    first: date
    checks: Sequence[DriftCheck]
    policy: RetrainPolicy
    learned: int = REFERENCE_WEEKS
    version: int = 1
    past: list[RetrainDecision] = field(default_factory=list)
    reports: list[DriftReport] = field(default_factory=list)
    requests: list[RetrainRequest] = field(default_factory=list)
    weeks: dict[int, pd.DataFrame] = field(default_factory=dict)

    def monitor_week(
        self, number: int, current: pd.DataFrame, figures: dict[str, float] | None = None, accepted_by: str = ""
    ) -> RetrainDecision:
        """Run the checks and the controller on one week, and follow its decision."""
        self.weeks[number] = current
        learned = [self.weeks[n] for n in range(self.learned - REFERENCE_WEEKS, self.learned)]
        reference, window = pd.concat(learned, ignore_index=True), week_of(self.first, number)
        rows = ComparedRows(
            window, {"rows": reference}, {"rows": current}, previous=self.weeks[number - 1], known_until=window.start
        )
        evidence = gather(self.checks, rows, figures=figures)
        results = judge(self.checks, evidence)
        report = DriftReport(
            use_case="shop",
            window=window,
            reference="",
            current_rows=len(current),
            reference_rows=len(reference),
            checks=results,
            violated=any(one.violated for one in results),
            report_uri="",
            run_id="",
            figures=figures or {},
            new_labels=sum(len(self.weeks[n]) for n in range(self.learned, number + 1)),
        )
        as_of = week_of(self.first, self.learned - 1).end
        history = RetrainHistory(self.past, make_champion(self.version), as_of, self.requests)
        decision = decide_retrain("shop", self.policy, window, report, history, accepted_by=accepted_by)
        self.past.append(decision)
        self.reports.append(report)
        if decision.retrain:
            self.version, self.learned = self.version + 1, number + 1
            key = decision.idempotency_key
            self.requests.append(
                RetrainRequest(idempotency_key=key, as_of=window.end, taken_by="run", version=self.version, passed=True)
            )
        return decision


def begin_year(seed: int, rows: int) -> Year:
    """An installation whose champion has learned the reference weeks."""
    year = Year(FIRST, CHECK_LIST, POLICY)
    year.weeks = {number: make_week(number, seed, rows) for number in range(REFERENCE_WEEKS)}
    return year
