"""The ledger: append-only, chained, and with one winner in every race."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tasks.contracts import Action, LedgerEntry, RetrainDecision, Trust, Window
from tasks.errors import PromotionRefused
from tasks.ledger import GENESIS, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path}/ledger.db")


def append(ledger: Ledger, version: int, head: LedgerEntry | None, at: datetime | None = None) -> LedgerEntry:
    return ledger.append(
        use_case="shop", action=Action.PROMOTE, version=version, expected_head=head, manifest_digest="m" * 64,
        data_digest="d" * 64, report_digest="r" * 64, code_version="abc", actor="ada", trust=Trust.LOCAL, reason="better",
        dag_run="run", at=at,
    )  # fmt: skip


def test_entries_follow_each_other(ledger: Ledger) -> None:
    assert ledger.head("shop") is None
    first = append(ledger, 1, None)
    second = append(ledger, 2, first)
    assert (first.previous_digest, second.previous_digest) == (GENESIS, first.entry_digest)
    assert (second.sequence, second.previous_version) == (2, 1)
    assert ledger.entries("shop") == [first, second]
    assert ledger.head("shop") == second
    assert ledger.use_cases() == ["shop"]
    assert ledger.broken_links("shop") == []


def test_a_stale_head_is_refused_and_told(ledger: Ledger) -> None:
    first = append(ledger, 1, None)
    append(ledger, 2, first)
    with pytest.raises(PromotionRefused, match=r"version 3 was not promoted.*version 2 by ada"):
        append(ledger, 3, first)
    assert len(ledger.entries("shop")) == 2


def test_of_twenty_that_race_one_wins(ledger: Ledger) -> None:
    head = append(ledger, 1, None)
    told: list[str] = []
    barrier = threading.Barrier(20)

    def race(version: int) -> None:
        barrier.wait()
        try:
            append(ledger, version, head)
            told.append("won")
        except PromotionRefused as error:
            told.append(str(error))

    racers = [threading.Thread(target=race, args=(version,)) for version in range(2, 22)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert told.count("won") == 1
    assert all("the champion changed meanwhile" in line for line in told if line != "won")
    assert len(ledger.entries("shop")) == 2


@pytest.mark.parametrize("change", ["actor = 'eve'", "version = 7", "reason = ''", "at = '2001-01-01 00:00:00'"])
def test_an_altered_entry_breaks_the_chain(ledger: Ledger, tmp_path: Path, change: str) -> None:
    append(ledger, 2, append(ledger, 1, None))
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute(f"UPDATE ledger SET {change} WHERE sequence = 1")
    assert ledger.broken_links("shop") == [1]


def test_a_removed_entry_breaks_the_chain(ledger: Ledger, tmp_path: Path) -> None:
    append(ledger, 3, append(ledger, 2, append(ledger, 1, None)))
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("DELETE FROM ledger WHERE sequence = 2")
    assert ledger.broken_links("shop") == [3]


def test_who_was_champion_then(ledger: Ledger) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    first = append(ledger, 1, None, noon)
    second = append(ledger, 2, first, noon + timedelta(hours=1))
    assert ledger.champion_at("shop", noon - timedelta(seconds=1)) is None
    assert ledger.champion_at("shop", noon) == first
    assert ledger.champion_at("shop", noon + timedelta(hours=2)) == second


def decision(end: date, key: str) -> RetrainDecision:
    return RetrainDecision(
        use_case="shop", window=Window.before(end, 1), retrain=False, cause="none", reason="nothing moved",
        violations=0, considered_windows=1, idempotency_key=key,
    )  # fmt: skip


def test_a_decision_is_kept_once(ledger: Ledger) -> None:
    later, earlier = decision(date(2026, 1, 3), "b"), decision(date(2026, 1, 2), "a")
    assert ledger.record_decision(later)
    assert ledger.record_decision(earlier)
    assert not ledger.record_decision(later)
    assert ledger.decisions("shop") == [earlier, later]
