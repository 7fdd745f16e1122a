"""The promotion survives its kills and decides its races; broken twins do not. Few points here; `make bench` does all."""

from __future__ import annotations

from pathlib import Path

from tests.tasks.registry.faults import race, survive_kills


def test_a_killed_promotion_is_completed_by_its_retry(tmp_path: Path) -> None:
    points, survived = survive_kills(tmp_path / "kills", most=8)
    assert points >= 6
    assert survived == points


def test_an_alias_that_leads_the_ledger_is_caught(tmp_path: Path) -> None:
    points, survived = survive_kills(tmp_path / "kills", most=4, how="write_alias_first")
    assert survived < points


def test_an_entry_that_is_written_twice_is_caught(tmp_path: Path) -> None:
    points, survived = survive_kills(tmp_path / "kills", most=4, how="write_again")
    assert survived < points


def test_of_six_promotions_at_once_one_wins(tmp_path: Path) -> None:
    assert race(6, tmp_path / "race") == (1, 5)


def test_a_race_without_compare_and_set_is_caught(tmp_path: Path) -> None:
    winners, refused = race(3, tmp_path / "race", how="write_whatever_is_there")
    assert (winners, refused) == (3, 0)
