"""What counts as a wrong decision in a generated world."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from tasks.backtest.expectations import describe_fault, find_failures, find_violations, is_requested
from tasks.backtest.journal import Journal, Promotion, Step, WindowRecord
from tasks.contracts.base import Window
from tasks.stages.ingestion.worlds import Expected

START = date(2011, 3, 7)


def week(
    number: int, cause: str = "none", *, promoted: int | None = None, steps: dict[str, Step] | None = None
) -> WindowRecord:
    start = START + timedelta(weeks=number)
    decision: dict[str, Any] = {
        "cause": cause,
        "retrain": cause not in ("none", "fault"),
        "signals": ["fault"] if cause == "fault" else [],
        "reason": "the data are broken" if cause == "fault" else "",
    }
    at = datetime.combine(start, datetime.min.time(), UTC)
    made = () if promoted is None else (Promotion(version=promoted, at=at, by="policy:auto", reason=""),)
    return WindowRecord(
        window=Window(start=start, end=start + timedelta(weeks=1)),
        steps={"decide_retrain": Step(result=decision), **(steps or {})},
        promotions=made,
    )


def violations(expected: Expected, *records: WindowRecord) -> list[str]:
    first = week(0, "no_champion", promoted=1)
    return find_violations(expected, START, Journal(windows=(first, *records)))


def test_calm_worlds_want_nothing() -> None:
    assert violations(Expected(), week(1), week(2)) == []
    (said,) = violations(Expected(), week(1, "drift"))
    assert said == "1 other retrainings were requested, 0 are right: 2011-03-14..2011-03-21 (drift)"
    assert violations(Expected(other_retrains=1), week(1, "drift")) == []
    (said,) = violations(Expected(), week(1, "fault"))
    assert said.startswith(
        "1 sound windows were reported as broken, 0 are allowed: 2011-03-14..2011-03-21 (the data are broken"
    )
    assert find_violations(Expected(), START, Journal(windows=(week(0),))) == ["no champion was ever promoted"]


def test_a_change_wants_a_retraining_in_time() -> None:
    right = Expected(retrain_after=2, retrain_within=2, promotes_after=2, promotes_within=2)
    assert violations(right, week(1), week(2), week(3, "drift", promoted=2)) == []
    late = violations(right, week(1), week(2), week(3), week(4, "drift", promoted=2))
    assert len(late) == 3, late
    assert "no retraining was requested within 2 windows from week 2" in late[0]
    assert "no other champion was promoted within 2 windows from week 2" in late[2]
    early = violations(right, week(1, "drift"), week(2, "drift", promoted=2))
    assert early == ["1 other retrainings were requested, 0 are right: 2011-03-14..2011-03-21 (drift)"]


def test_broken_data_must_be_reported_by_validation_or_monitoring() -> None:
    right = Expected(faulty_weeks=(1, 2))
    refused = Step(failed="ValidationFailed: too many rows")
    assert violations(right, week(1, "fault"), week(2, steps={"validate": refused})) == []
    assert violations(right, week(1, "fault"), week(2)) == [
        "2011-03-21..2011-03-28: the data are broken, and nothing reported it"
    ]


def test_failed_jobs_and_too_many_promotions_are_wrong() -> None:
    broken = week(1, steps={"judge": Step(failed="ModelError: no")})
    assert find_failures(broken) == {"judge": "ModelError: no"} and describe_fault(broken) == ""
    assert violations(Expected(), broken) == ["2011-03-14..2011-03-21: judge failed: ModelError: no"]
    assert violations(Expected(promotions=0), week(1, promoted=2)) == [
        "1 versions replaced the first champion, at most 0 are right: 2"
    ]
    assert not is_requested(week(0, "no_champion"))
