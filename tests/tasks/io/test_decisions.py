"""What monitoring found and decided is kept once, and read oldest window first."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tasks.contracts.base import Window
from tasks.contracts.monitoring import RetrainDecision
from tasks.io.decisions import DecisionLog


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(f"sqlite:///{tmp_path}/decisions.db")


def decision(end: date, key: str) -> RetrainDecision:
    return RetrainDecision(
        use_case="shop",
        window=Window.before(end, 1),
        retrain=False,
        cause="none",
        reason="nothing moved",
        violations=0,
        considered_windows=1,
        idempotency_key=key,
    )


def test_a_decision_is_kept_once(log: DecisionLog) -> None:
    later, earlier = decision(date(2026, 1, 3), "b"), decision(date(2026, 1, 2), "a")
    assert log.record_decision(later)
    assert log.record_decision(earlier)
    assert not log.record_decision(later)
    assert log.decisions("shop") == [earlier, later]
