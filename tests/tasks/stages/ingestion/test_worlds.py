"""Generated worlds: what is delivered when, and what is right in them."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest

from tasks.contracts.base import Window
from tasks.errors import ConfigurationError
from tasks.stages.ingestion.invoice_files import HEADER, InvoiceFiles
from tasks.stages.ingestion.worlds import WORLDS, World, make_world

START = date(2011, 3, 7)
WEEK = timedelta(weeks=1)


def deliver(folder: Path, world: World, weeks: float, since: date = START) -> dict[date, list[dict[str, str]]]:
    """Day -> the lines that are there after so many weeks."""
    world.deliver(folder, START + weeks * WEEK, since)
    days = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as stream:
            days[date.fromisoformat(path.stem)] = list(csv.DictReader(stream))
    return days


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_says_what_is_right_and_repeats_itself(name: str, tmp_path: Path) -> None:
    world, again = make_world(name, START, 3), make_world(name, START, 3)
    assert world.name == name and world.meaning and world.expected == again.expected
    first = deliver(tmp_path / "a", world, 1)
    assert first and first == deliver(tmp_path / "b", again, 1)
    assert all(day < START + WEEK for day in first), "nothing is delivered before its day has ended"
    if world.has_drift:
        assert world.expected.retrain_after is not None and world.expected.promotes_after is not None


def test_at_least_sixteen_worlds_and_no_other() -> None:
    assert len(WORLDS) >= 17
    with pytest.raises(ConfigurationError, match="no world 'flat'; the worlds are: calm, closed_weekends"):
        make_world("flat", START, 7)


def test_a_column_is_lost_and_comes_back(tmp_path: Path) -> None:
    days = deliver(tmp_path, make_world("column_lost", START, 7), 7, START + 3 * WEEK)
    named = {day: any(row["CustomerID"] for row in rows) for day, rows in days.items()}
    assert {(day - START).days // 7 for day, is_named in named.items() if not is_named} == {4, 5}
    assert {(day - START).days // 7 for day, is_named in named.items() if is_named} == {3, 6}


def test_a_renamed_column_is_refused_by_the_source(tmp_path: Path) -> None:
    deliver(tmp_path, make_world("column_renamed", START, 7), 7, START + 3 * WEEK)
    source = InvoiceFiles()
    assert source.files(tmp_path, Window(start=START + 3 * WEEK, end=START + 4 * WEEK))
    with pytest.raises(Exception, match="Customer ID"):
        source.files(tmp_path, Window(start=START + 4 * WEEK, end=START + 5 * WEEK))


def test_a_week_comes_late_and_a_corrected_file_replaces_the_first(tmp_path: Path) -> None:
    late = make_world("late_week", START, 7)
    assert {(day - START).days // 7 for day in deliver(tmp_path / "late", late, 5.5, START + 3 * WEEK)} == {3, 5}
    assert {(day - START).days // 7 for day in deliver(tmp_path / "late", late, 6, START + 3 * WEEK)} == {3, 4, 5}

    corrected, monday = make_world("corrections", START, 7), START + 2 * WEEK
    before = deliver(tmp_path / "corrected", corrected, 3, monday)[monday]
    after = deliver(tmp_path / "corrected", corrected, 4, monday)[monday]
    gone = {row["InvoiceNo"] for row in before} - {row["InvoiceNo"] for row in after}
    assert gone and after == [row for row in before if row["InvoiceNo"] not in gone]


def test_a_poisoned_day_holds_one_item_at_a_hundred_times_its_price(tmp_path: Path) -> None:
    poisoned = START + timedelta(days=30)
    days = deliver(tmp_path, make_world("poisoned_day", START, 7), 5, START + 4 * WEEK)
    items = {day: [row["StockCode"] for row in rows] for day, rows in days.items()}
    share = {day: max(map(codes.count, codes)) / len(codes) for day, codes in items.items()}
    assert share[poisoned] > 0.7 and all(value < 0.3 for day, value in share.items() if day != poisoned)


def test_shops_close_and_baskets_cross_midnight(tmp_path: Path) -> None:
    closed = deliver(tmp_path / "closed", make_world("closed_weekends", START, 7), 2)
    assert {day.weekday() for day in closed} == {0, 1, 2, 3, 4}
    holidays = deliver(tmp_path / "holidays", make_world("holidays", START, 7), 6)
    assert not [day for day in holidays if (day - START).days // 7 == 4]
    nights = deliver(tmp_path / "nights", make_world("over_midnight", START, 7), 2)
    assert all(row["InvoiceDate"].startswith(day.isoformat()) for day, rows in nights.items() for row in rows)
    hours = {int(row["InvoiceDate"][11:13]) for rows in nights.values() for row in rows}
    assert {0, 1, 2, 18, 23} <= hours and not hours & {5, 12}


def test_seasons_replace_each_other_slowly_or_come_back() -> None:
    gradual, seasonal = make_world("gradual_drift", START, 7), make_world("seasonal_drift", START, 7)
    shares = [gradual.truth._world.season_share(START + week * WEEK) for week in range(11)]
    assert shares[2] == 0 and shares[-1] == 1 and shares == sorted(shares) and len(set(shares)) > 5
    turns = [seasonal.truth._world.season_share(START + week * WEEK) for week in (3, 9, 15)]
    assert turns == pytest.approx([0, 1, 0], abs=0.01)
    middle = START + 6 * WEEK
    customer = gradual.truth.customers(middle)[0]
    assert sum(gradual.truth.probabilities(customer, middle).values()) == pytest.approx(1.0)
    assert len(gradual.truth.items(middle)) > len(gradual.truth.items(START)), "both seasons are on sale"


def test_growth_makes_ten_times_as_many_invoices(tmp_path: Path) -> None:
    world = make_world("growth", START, 7)
    early, late = (deliver(tmp_path / str(week), world, week + 1, START + week * WEEK) for week in (1, 12))
    invoices = [len({row["InvoiceNo"] for rows in days.values() for row in rows}) for days in (early, late)]
    assert 7 < invoices[1] / invoices[0] < 13


def test_the_best_items_of_a_world_are_known_ones() -> None:
    import pandas as pd

    from tasks.models.base import FeatureTables

    world = make_world("calm", START, 7)
    items = world.truth.items(START)
    some = FeatureTables(pd.DataFrame(), pd.DataFrame({"item_id": items[:30]}), pd.DataFrame())
    customer = world.truth.customers(START + WEEK)[0]
    best, nobody = world.best_items([customer, "stranger"], START, 14, some, 10)
    assert len(best) == 10 and set(best) <= set(items[:30]) and nobody == []
    assert tuple(HEADER)[1] == "StockCode"
