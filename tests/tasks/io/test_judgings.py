"""The log of judgings: what is recorded once, and what concurrent judgings see of each other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from tasks.contracts.judging import JudgedHoldout, PastJudging, Spending
from tasks.io.judgings import JudgingLog

HOLDOUT = JudgedHoldout(as_of=date(2026, 1, 15), first_day=date(2026, 1, 1), end=date(2026, 1, 15))


def spend(past: Sequence[PastJudging]) -> Spending:
    return Spending(times=1 + len(past), alpha=0.01 / (1 + len(past)), spent=0.0, wealth=0.0, new_share=0.0)


def test_a_retry_is_no_second_judging(tmp_path: Path) -> None:
    log = JudgingLog(f"sqlite:///{tmp_path / 'ledger.db'}")
    first = log.begin("shop", "a", HOLDOUT, spend)
    assert log.begin("shop", "a", HOLDOUT, spend) == first, "the same training again"
    assert log.begin("shop", "b", HOLDOUT, spend).times == 2
    assert log.begin("ward", "a", HOLDOUT, spend).times == 1, "another use case"
    log.settle("shop", "b", found_better=True, p_better=0.002)
    assert log.begin("shop", "a", HOLDOUT, spend) == first
    assert log.judgings("shop") == [
        PastJudging(holdout=HOLDOUT, alpha=0.01, found_better=False),
        PastJudging(holdout=HOLDOUT, alpha=0.005, found_better=True, p_better=0.002),
    ]


def test_judgings_at_the_same_time_see_each_other(tmp_path: Path) -> None:
    log = JudgingLog(f"sqlite:///{tmp_path / 'ledger.db'}")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda key: log.begin("shop", str(key), HOLDOUT, spend), range(8)))
    assert sorted(one.times for one in made) == list(range(1, 9))
