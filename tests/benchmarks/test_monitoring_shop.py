"""Ninety days of small shops with quiet weekends, closed days and holidays."""

from __future__ import annotations

from benchmarks.monitoring.shop import REFERENCE_DAYS, Installation, Shop, list_checks
from tasks import columns as c
from tasks.contracts.calendar import NO_CALENDAR, Calendar
from tasks.contracts.monitoring import Cause
from tasks.stages.monitoring.checks.distributions import ColumnDrift
from tasks.stages.monitoring.decision import RetrainPolicy


def test_quiet_weekends_do_not_stop_a_retraining_for_true_drift() -> None:
    """Ninety days, weekends at a fifth, true drift from day 8 on. By days alone every Saturday would be a fault."""
    checks = [one for one in list_checks() if one.kind != "column_drift"]
    checks.append(ColumnDrift(columns=(c.SEGMENT,), method="jensenshannon", threshold=0.2))
    shop = Shop(1, lines=2, weekend=0.2, drift_from=REFERENCE_DAYS + 8)
    decisions = Installation(shop, checks, policy=RetrainPolicy(cooldown_days=3, at_most_per_week=1)).run(REFERENCE_DAYS + 90)
    assert len(decisions) == 90
    assert [one.reason for one in decisions if one.alert] == []
    first = next(place for place, one in enumerate(decisions) if one.retrain)
    assert 8 <= first <= 16
    assert decisions[first].cause is Cause.DRIFT


def test_closed_days_and_holidays_are_no_fault() -> None:
    """Mondays are closed, and so are two public holidays and the days after Christmas."""
    lines = {"closed_days": ["02-27..02-28", "2024-03-29", "2024-04-01"]}
    shop = Shop(1, closed=(0,), calendar=Calendar.model_validate(lines))
    checks = [one for one in list_checks() if one.kind in {"missing_days", "volume"}]
    decisions = Installation(shop, checks).run(REFERENCE_DAYS + 45)  # to 10 April, past Good Friday and Easter Monday
    assert decisions and not [one.reason for one in decisions if one.alert]
    blind = Installation(shop, checks, calendar=NO_CALENDAR).run(REFERENCE_DAYS + 45)
    faults = [one.reason for one in blind if one.cause is Cause.FAULT]
    assert len(faults) == 2 and "2024-02-27, 2024-02-28" in faults[0] and "2024-03-29" in faults[1], "without the calendar"
