"""A proposal is tried out by the real jobs in a folder of its own, and written only where nothing is."""

from __future__ import annotations

import re
import sqlite3
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tasks.errors import ConfigurationError
from tasks.jobs.look import look, try_out, write_pair
from tasks.settings import ROOT, Settings, get_settings
from tasks.use_case import load_use_case
from tests.tasks.call_campaign import callers, write_days

FIRST = date(2024, 3, 4)


def write_shop(path: Path) -> Path:
    """Thirty days of a small shop in one file, as a German program exports them: decimal commas, some unknown customers."""
    lines = ["Bestellung;Zeit;Kunde;Artikel;Menge;Preis"]
    for place in range(30 * 8):
        day, customer = FIRST + timedelta(days=place // 8), f"K{place % 11}" if place % 9 else ""
        order = f"B{place};{day:%d.%m.%Y} {8 + place % 8:02}:15;{customer}"
        lines += [f"{order};A{(place * step) % 13:03};{1 + place % 3};1.2{place % 10}0,50" for step in (3, 5)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def settings(own_home: Path, tmp_path: Path) -> Settings:
    for folder in ("use_cases", "expectations"):
        (tmp_path / folder).mkdir()
    for suite in (ROOT / "expectations").glob("*.yaml"):
        (tmp_path / "expectations" / suite.name).write_bytes(suite.read_bytes())
    places = {"use_cases": tmp_path / "use_cases", "expectations": tmp_path / "expectations"}
    return get_settings().model_copy(update=places)


def test_a_file_of_many_days_passes_its_trial(settings: Settings, tmp_path: Path, spark: SparkSession) -> None:
    looked = look(str(write_shop(tmp_path / "bestellungen.csv")), "shop")
    (tmp_path / "trial").mkdir()
    steps = try_out(looked, settings, tmp_path / "trial")
    assert [(step.name, step.is_ok) for step in steps] == [("ingest", True), ("validate", True), ("split", True)], steps
    assert "480 rows in, 480 validated, 0 to quarantine: user_known" in steps[1].detail
    assert not settings.home.exists() and not list(settings.use_cases.iterdir())  # the installation is as before


def test_files_of_days_with_a_target_pass_their_trial(settings: Settings, tmp_path: Path, spark: SparkSession) -> None:
    write_days(callers(300, seed=7), tmp_path / "calls", FIRST, days=3)
    looked = look(str(tmp_path / "calls"), "calls", target="said")
    (tmp_path / "trial").mkdir()
    steps = try_out(looked, settings, tmp_path / "trial")
    assert [(step.name, step.is_ok) for step in steps] == [("ingest", True), ("validate", True), ("split", True)], steps
    assert steps[0].detail == "300 rows of 2024-03-04..2024-03-07"


def test_a_trial_ends_with_the_first_step_that_fails(settings: Settings, tmp_path: Path, spark: SparkSession) -> None:
    path = write_shop(tmp_path / "bestellungen.csv")
    looked = look(str(path), "shop")
    path.write_text(re.sub(r";A\d+;", ";;", path.read_text(), count=100))  # a fifth of the rows lose their item
    (tmp_path / "trial").mkdir()
    steps = try_out(looked, settings, tmp_path / "trial")
    assert [(step.name, step.is_ok) for step in steps][-1] == ("validate", False), steps
    assert "item_known" in steps[-1].detail


def test_the_pair_is_written_and_never_overwritten(settings: Settings, tmp_path: Path) -> None:
    looked = look(str(write_shop(tmp_path / "bestellungen.csv")), "shop")
    written = write_pair(looked.proposal, settings)
    assert written == [settings.expectations / "shop.yaml", settings.use_cases / "shop.yaml"]
    case = load_use_case("shop", settings.use_cases)
    assert case.validation.suite == "shop" and case.source.kind == "files"
    before = [path.read_text() for path in written]
    with pytest.raises(ConfigurationError, match=r"shop.yaml exists already: choose another name"):
        write_pair(looked.proposal, settings)
    assert [path.read_text() for path in written] == before


def test_a_table_of_a_database_passes_its_trial(settings: Settings, tmp_path: Path, spark: SparkSession) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute(
            "CREATE TABLE lines (line_no INTEGER PRIMARY KEY, order_no TEXT, at TEXT, customer TEXT, sku TEXT, qty REAL)"
        )
        start = datetime(2024, 3, 4, 9)  # noqa: DTZ001  a time without an offset
        lines = [
            (
                place,
                f"o{place // 2}",
                f"{start + timedelta(hours=3 * place)}",
                f"c{place // 2 % 11}",
                f"s{place * 3 % 13}",
                1 + place % 3,
            )
            for place in range(240)
        ]
        connection.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)", lines)
    connection.close()
    looked = look(f"sqlite:///{tmp_path}/shop.db", "shop", table="lines")
    source = looked.proposal.use_case["source"]
    assert (source["kind"], source["order_by"], looked.proposal.suite) == ("table", ["line_no"], None)
    (tmp_path / "trial").mkdir()
    steps = try_out(looked, settings, tmp_path / "trial")
    assert [(step.name, step.is_ok) for step in steps] == [("ingest", True), ("validate", True), ("split", True)], steps
    assert steps[0].detail == "240 rows of 2024-03-04..2024-04-04"
