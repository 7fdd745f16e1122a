"""What a report says of policies, and its page."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.backtest.figures import Report, conclude, make_report
from tasks.backtest.journal import Journal, Promotion, Quality, Step, WindowRecord, write_journal
from tasks.backtest.page import as_table, draw_page
from tasks.backtest.plan import Plan, PolicyPlan, Retraining, policy_folder
from tasks.contracts.base import Window
from tasks.metrics import UNIT, WEIGHT

CASE, METRIC = "purchase_propensity", "ndcg_at_10"
DAYS = ("2011-03-14", "2011-03-21")


def write_policy(folder: Path, values: dict[str, float], cause: str = "none") -> None:
    """A policy whose users have a quality around a value on each day."""
    base = np.random.default_rng(3).normal(0, 0.1, 200)
    folder.joinpath("quality").mkdir(parents=True)
    measured = []
    for day, value in values.items():
        units = pd.DataFrame({UNIT: [f"u{n}" for n in range(200)], METRIC: base + value, METRIC + WEIGHT: 1.0})
        units.to_parquet(folder / "quality" / f"{day}.parquet")
        measured.append(Quality(as_of=day, champion=1, units=200, value=value, low=value - 0.01, high=value + 0.01))
    decision = {"cause": cause, "retrain": cause == "drift", "reason": "2 of 3 <b>", "signals": []}
    failed = Step(failed="ModelError: it does not load", seconds=30.0)
    records = [
        WindowRecord(
            window=Window(start=date(2011, 3, 7), end=date(2011, 3, 14)),
            steps={"decide_retrain": Step(result=decision, seconds=30.0), "split": Step(result={}), "train ials": failed},
            promotions=(Promotion(version=1, at=datetime(2011, 3, 14, tzinfo=UTC), by="policy:auto", reason=""),),
            champion=1,
            is_done=True,
        ),
        WindowRecord(
            window=Window(start=date(2011, 3, 14), end=date(2011, 3, 21)),
            steps={"validate": Step(failed="ValidationFailed: too many rows")},
            champion=1,
            is_done=True,
        ),
    ]
    write_journal(folder, Journal(windows=tuple(records), quality=tuple(measured), is_done=True))


@pytest.fixture
def report(tmp_path: Path) -> Report:
    ways = {"this": Retraining.AS_WRITTEN, "other": Retraining.AS_WRITTEN, "never_retrain": Retraining.NEVER}
    policies = tuple(PolicyPlan(name=name, retraining=way, digest="") for name, way in ways.items())
    plan = Plan(use_case=CASE, start=date(2011, 3, 7), end=date(2011, 3, 21), window_days=7, policies=policies)
    write_policy(policy_folder(tmp_path, "this"), {DAYS[0]: 0.4, DAYS[1]: 0.5, "2011-03-28": 0.9})
    write_policy(policy_folder(tmp_path, "other"), {DAYS[0]: 0.6, DAYS[1]: 0.45}, cause="drift")
    write_policy(policy_folder(tmp_path, "never_retrain"), {DAYS[0]: 0.3, DAYS[1]: 0.3})
    return make_report(tmp_path, plan)


def test_policies_are_compared_on_the_days_of_all(report: Report) -> None:
    this, other, never = report.policies
    assert report.days == 2 and this.quality is not None and report.hindsight is not None
    assert this.quality.value == pytest.approx(0.45, abs=0.02), "a day of one policy alone does not count"
    assert this.gain is None and other.gain is not None and never.gain is not None
    assert other.gain.value == pytest.approx(0.075) and never.gain.value == pytest.approx(-0.15)
    assert report.hindsight.value - this.quality.value == pytest.approx(0.1), "0.6 on the first day, 0.5 on the second"
    assert this.regret == pytest.approx(0.1 / report.hindsight.value)
    assert report.best is None and this.missed is None and this.violations is None
    assert report.conclusion.startswith("other would have been better than this: +0.0750")


def test_work_and_faults_are_counted(report: Report) -> None:
    this, other, _ = report.policies
    assert (this.requests, other.requests) == (0, 1)
    assert (this.trainings, this.refused, this.promotions) == (1, 0, 1)
    assert (this.faults, this.failed_windows, this.minutes) == (1, 1, 1.0)
    first, second = this.windows
    assert first.failures == {"train ials": "ModelError: it does not load"} and first.training == "failed"
    assert second.fault == "validate: ValidationFailed: too many rows" and second.decision == "no decision"


def test_the_conclusion_names_a_policy_only_with_evidence(report: Report) -> None:
    this, other, never = report.policies
    assert conclude(METRIC, [this, never]) == "No policy is shown to be better than this. this is better than never_retrain."
    assert conclude(METRIC, [this]) == "No policy is shown to be better than this, and none to be worse."
    unclear = other.gain.model_copy(update={"low": -0.01}) if other.gain else None
    unsure = other.model_copy(update={"gain": unclear})
    assert conclude(METRIC, [this, unsure]).startswith("No policy is shown to be better")
    nothing = this.model_copy(update={"quality": None})
    assert conclude(METRIC, [nothing]).startswith("Nothing can be compared")


def test_the_page_and_the_table_say_the_same(report: Report) -> None:
    page = draw_page(report)
    assert report.conclusion in page and "best_of_each_day" in page and "best_possible" not in page
    assert "2 of 3 &lt;b&gt;" in page and "<script" not in page and page.count("Timeline of") == 3
    assert draw_page(report) == page
    rows = as_table(report.to_json())
    assert [row["policy"] for row in rows] == ["this", "other", "never_retrain"]
    assert rows[1]["gain"] in page and rows[0]["gain"] is None
