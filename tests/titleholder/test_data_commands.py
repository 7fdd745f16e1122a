"""`titleholder data` and `titleholder quarantine` on real snapshots, as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import ConfigurationError, SnapshotError
from tasks.io.storage import Storage
from tasks.settings import ROOT, get_settings
from tasks.stages.features import build_features
from tasks.stages.ingestion import ingest
from tasks.stages.validation import find_refused, validate
from tasks.use_case import load_use_case
from tests.tasks.stages.ingestion.conftest import LINE, write_day
from titleholder.cli import app

CASE = "purchase_propensity"
DAYS = ("2010-12-01", "2010-12-02", "2010-12-03")
ZERO = "700,85123A,x,0,{day} 08:26:00,2.55,17850.0,EIRE"


def run_json(*words: str, code: int = 0) -> Any:
    """Run a command and return its JSON output."""
    done = CliRunner().invoke(app, [*words, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return json.loads(done.output)


@pytest.fixture(scope="module")
def built_home(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Iterator[Path]:
    """A home with three days, the second with a bad row, and features as of the end of each day. Each test gets a copy."""
    home = tmp_path_factory.mktemp("built") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TITLEHOLDER_HOME", str(home))
        get_settings.cache_clear()
        case, storage = load_use_case(CASE), Storage(get_settings().data_root, run="test")
        folder = case.source_path
        assert folder is not None
        for day in DAYS:
            lines = [LINE.replace("2010-12-01", day).replace("536365", str(600 + place)) for place in range(12)]
            write_day(folder, day, *lines, *([ZERO.format(day=day)] if day == DAYS[1] else []))
            first = date.fromisoformat(day)
            window = Window(start=first, end=date(2010, 12, first.day + 1))
            raw = ingest(CASE, case.source, folder, window, storage)
            assert raw is not None
            validate(raw, "invoice_lines", 0.1, storage, ROOT / "expectations")
            history = storage.history(CASE, c.VALIDATED, window.end)
            build_features(case.features_as_of(window.end, history), storage)
    get_settings.cache_clear()
    yield home


@pytest.fixture
def shop(built_home: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Storage]:
    """A copy of the built home. Returns copied suites and the storage."""
    shutil.copytree(built_home, own_home)
    suites = Path(shutil.copytree(ROOT / "expectations", tmp_path / "expectations"))
    monkeypatch.setenv("TITLEHOLDER_EXPECTATIONS", str(suites))
    get_settings.cache_clear()
    return suites, Storage(get_settings().data_root, run="test")


def test_replay_rebuilds_only_what_depends_on_the_fixed_rows(shop: tuple[Path, Storage]) -> None:
    suites, storage = shop
    second = f"{DAYS[1]}..{DAYS[2]}"
    shown = run_json("quarantine", "show", CASE)
    assert shown["by_rule"] == {"quantity_not_zero": 1} and shown["refused"] == []
    (row,) = shown["shown"]
    assert (row["window"], row["source_file"], row["run"]) == (second, f"{DAYS[1]}.csv", "test")
    explained = run_json("quarantine", "explain", CASE, row["row_id"])
    assert explained["cells"]["Quantity"] == "0" and "quantity zero" in explained["rules"][0]["reason"]

    validated = {label: storage.current(CASE, c.VALIDATED, label) for label in storage.partitions(CASE, c.VALIDATED)}
    features = {label: storage.current(CASE, c.FEATURES, label) for label in storage.partitions(CASE, c.FEATURES)}
    path = suites / "invoice_lines.yaml"
    path.write_text(path.read_text().replace("value_set: [0.0]", "value_set: [-0.5]"))
    replayed = run_json("quarantine", "replay", CASE)
    (window,) = replayed["windows"]
    assert (window["window"], window["in_quarantine_before"], window["now"], window["changed"]) == (second, 1, 0, "yes")
    rebuilt = [ref["partition"] for ref in replayed["features"]]
    assert rebuilt == [DAYS[2], "2010-12-04"], "the first day's features do not depend on the second day"
    for label, ref in validated.items():
        assert (storage.current(CASE, c.VALIDATED, label) == ref) is (label != second)
    assert storage.current(CASE, c.FEATURES, DAYS[1]) == features[DAYS[1]]
    assert run_json("quarantine", "show", CASE)["rows"] == 0
    with pytest.raises(ConfigurationError, match="no rows in quarantine in"):
        run_json("quarantine", "replay", CASE, "--window", second)

    listed = run_json("data", "list", CASE, "--layer", "validated", "--all")
    assert sorted((one["partition"], one["current"]) for one in listed) == sorted(
        [(f"{DAYS[0]}..{DAYS[1]}", "yes"), (second, "no"), (second, "yes"), (f"{DAYS[2]}..2010-12-04", "yes")]
    )
    differences = {one["what"]: one for one in run_json("data", "diff", CASE, "validated", second)}
    assert (differences["rows: rows"]["before"], differences["rows: rows"]["after"]) == (12, 13)
    assert differences["rows: added"]["after"] == f"1: {DAYS[1]}.csv:13"
    assert "suite_digest" in differences and "rows: changed" not in differences


def test_a_refused_correction_stays_reported(shop: tuple[Path, Storage]) -> None:
    _, storage = shop
    folder = load_use_case(CASE).source_path
    assert folder is not None
    first = f"{DAYS[0]}..{DAYS[1]}"
    good = storage.current(CASE, c.VALIDATED, first)
    assert good is not None
    write_day(folder, DAYS[0], *[ZERO.format(day=DAYS[0]) for _ in range(12)])
    replayed = run_json("quarantine", "replay", CASE, code=0)  # the new file is not ingested yet
    assert first not in [one["window"] for one in replayed["windows"]]
    case = load_use_case(CASE)
    raw = ingest(CASE, case.source, folder, Window.from_label(first), storage)
    assert raw is not None
    replayed = run_json("quarantine", "replay", CASE, "--window", first, code=1)
    assert replayed["windows"][0]["validated"] == "refused"
    assert storage.current(CASE, c.VALIDATED, first) == good
    assert [one.raw for one in find_refused(CASE, storage)] == [raw]
    done = CliRunner().invoke(app, ["data", "list", CASE, "--layer", "validated"])
    assert "behind" in done.output and f"features still use {good.key}, which was validated before" in done.output
    both = storage.versions(CASE, c.RAW, first)
    assert len(both) == 2, "the old file and the new one are both traceable"


def test_pruning_shows_first_and_keeps_what_is_needed(shop: tuple[Path, Storage]) -> None:
    assert run_json("data", "prune", "--keep-days", "0") == []
    with pytest.raises(SnapshotError, match="expected two versions to compare"):
        run_json("data", "diff", CASE, "validated", f"{DAYS[0]}..{DAYS[1]}")
