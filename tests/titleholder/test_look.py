"""`titleholder look` prints the pair with its doubts, tries it out, and writes it only where it is told to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from tasks.errors import ConfigurationError
from tasks.settings import ROOT, get_settings
from titleholder.cli import app

RUNNER = CliRunner()


@pytest.fixture
def place(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of ratings, in an installation with folders of its own."""
    (tmp_path / "use_cases").mkdir()
    shutil.copytree(ROOT / "expectations", tmp_path / "expectations")
    monkeypatch.setenv("TITLEHOLDER_USE_CASES", str(tmp_path / "use_cases"))
    monkeypatch.setenv("TITLEHOLDER_EXPECTATIONS", str(tmp_path / "expectations"))
    get_settings.cache_clear()
    rows = [f"{place % 7},{place % 11},{1 + place % 5},{1_709_500_000 + 3600 * place}" for place in range(720)]
    path = tmp_path / "My Ratings.csv"
    path.write_text("userId,movieId,rating,timestamp\n" + "\n".join(rows) + "\n")
    return path


def test_the_pair_is_printed_with_what_it_was_concluded_from(place: Path) -> None:
    done = RUNNER.invoke(app, ["look", str(place), "--no-run"])
    assert done.exit_code == 0, done.output
    assert "name: my_ratings" in done.output and "unit: s}   # such as 1709500000, 1709503600" in done.output
    assert "includes: ratings" in done.output and "# Proposed from all 720 rows" in done.output
    assert not list(get_settings().use_cases.iterdir())


def test_the_trial_is_told_and_the_pair_is_written(place: Path, spark: SparkSession) -> None:
    done = RUNNER.invoke(app, ["look", str(place), "--write", "films", "--time-zone", "Europe/Berlin", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [step["ok"] for step in told["trial"]] == ["yes", "yes", "yes"]
    assert [Path(path).name for path in told["written"]] == ["films.yaml", "films.yaml"]
    assert yaml.safe_load((get_settings().use_cases / "films.yaml").read_text())["time_zone"] == "Europe/Berlin"


def test_a_file_that_tells_nothing_is_refused(place: Path) -> None:
    place.write_text("a,b\n1,2\n3,4\n5,6\n")
    done = RUNNER.invoke(app, ["look", str(place), "--no-run"])
    assert done.exit_code == 1 and "which interactions need" in str(done.exception)
    assert isinstance(RUNNER.invoke(app, ["look", str(place.parent / "none.csv")]).exception, ConfigurationError)
