"""The DAGs as Airflow parses them."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.base import Window
from tasks.settings import ROOT
from tasks.use_case import list_use_cases, load_use_case
from tests.dags.conftest import parse_dags

STEPS = ("features", "training", "promotion", "batch_scoring", "monitoring", "rollback", "backtest")
FOLDER = ROOT / "conf" / "use_cases"


def test_every_use_case_has_its_seven_dags(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert set(parsed["dags"]) == {f"{name}.{step}" for name in list_use_cases(FOLDER) for step in STEPS}


def test_parsing_imports_no_heavy_package(parsed: dict[str, Any]) -> None:
    assert parsed["heavy"] == []


@pytest.mark.servers
def test_a_heavy_import_is_detected(tmp_path: Path) -> None:
    """The broken twin is a DAG file that imports pandas at module level."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "heavy.py").write_text("import pandas\nfrom airflow.sdk import DAG\nwith DAG('heavy'):\n    pass\n")
    probe = parse_dags(tmp_path, AIRFLOW__CORE__DAGS_FOLDER=str(dags), PYTHONPATH=str(ROOT))
    assert probe["heavy"] == [], "the probe parses the project's folder and ignores the setting"
    import subprocess
    import sys

    from tests.dags.conftest import PROBE

    done = subprocess.run([sys.executable, "-c", PROBE, str(dags)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert '"heavy": ["pandas"' in done.stdout


@pytest.mark.parametrize("step", STEPS)
def test_every_dag_is_documented_tagged_and_retried(parsed: dict[str, Any], step: str) -> None:
    for name in list_use_cases(FOLDER):
        dag = parsed["dags"][f"{name}.{step}"]
        assert {"titleholder", name, step} <= set(dag["tags"])
        assert len(dag["doc"]) > 200
        # a manual rollback does not wait for a bake period, and a manual promotion does not wait for another review
        assert dag["max_active_runs"] == {"rollback": 8, "promotion": 16}.get(step, 1)
        assert all(retries >= 2 for retries, _ in dag["tasks"].values())


def test_assets_connect_the_dags(parsed: dict[str, Any]) -> None:
    for name in list_use_cases(FOLDER):
        dags = {step: parsed["dags"][f"{name}.{step}"] for step in STEPS}
        assert dags["features"]["outlets"] == [f"{name}.features"]
        assert dags["monitoring"]["assets"] == [f"{name}.features"]
        assert dags["monitoring"]["outlets"] == [f"{name}.retrain_request"]
        assert dags["training"]["assets"] == [f"{name}.retrain_request"]
        assert dags["training"]["outlets"] == [f"{name}.challenger"]
        assert dags["promotion"]["assets"] == [f"{name}.challenger"]
        assert dags["promotion"]["outlets"] == dags["rollback"]["outlets"] == [f"{name}.champion"]
        assert dags["batch_scoring"]["assets"] == [f"{name}.champion", f"{name}.features"]
        assert dags["rollback"]["assets"] == [f"{name}.champion"]
        assert dags["backtest"]["assets"] == dags["backtest"]["outlets"] == [], (
            "a backtest starts nothing, and nothing starts it"
        )


def test_manual_rollback_and_monitoring_wait_for_no_other_task(parsed: dict[str, Any]) -> None:
    rollback = {task: after for task, (_, after) in parsed["dags"]["purchase_propensity.rollback"]["tasks"].items()}
    assert rollback == {"roll_back": [], "expect": ["watch"], "watch": ["withdraw"], "withdraw": []}
    monitoring = {task: after for task, (_, after) in parsed["dags"]["purchase_propensity.monitoring"]["tasks"].items()}
    assert monitoring["reconcile"] == []
    assert "reconcile" not in {task for after in monitoring.values() for task in after}


def test_candidates_train_as_mapped_tasks(parsed: dict[str, Any]) -> None:
    assert parsed["dags"]["purchase_propensity.training"]["mapped"] == ["train"]


def test_a_candidate_that_fails_does_not_end_a_training(parsed: dict[str, Any]) -> None:
    training = parsed["dags"]["purchase_propensity.training"]
    left = {task for task, rule in training["rules"].items() if rule != "all_success"}
    assert left == {"judge", "draw_learning_curve", "register"}, "a learning curve that was killed ends nothing either"
    assert {training["rules"][task] for task in left} == {"all_done_min_one_success"}
    assert training["told"]["train"] == ["tell_failure"], "the requests of the run stay with the candidates that are left"
    assert training["told"]["judge"] == ["tell_failure", "give_up"]


def test_the_reasons_of_failed_candidates_are_read_from_their_tasks() -> None:
    from dags.training import FAILURE, read_failures

    class Left:
        def xcom_pull(self, *, task_ids: str, key: str, map_indexes: list[int]) -> list[dict[str, str] | None]:
            assert (task_ids, key, map_indexes) == ("train", FAILURE, [0, 1, 2])
            return [None, {"ease": "too many items"}, None]

    assert read_failures({"ti": Left()}, 3) == {"ease": "too many items"}


def test_tasks_that_make_a_page_link_to_it(parsed: dict[str, Any]) -> None:
    links = {dag: parsed["dags"][f"purchase_propensity.{dag}"]["links"] for dag in ("features", "training")}
    assert links["features"] == {"read_late": [], "ingest": [], "validate": ["Data Docs"], "build_features": []}
    assert {task: names for task, names in links["training"].items() if names} == {"profile": ["Profile"]}
    assert parsed["dags"]["purchase_propensity.backtest"]["links"] == {"replay": ["Report"]}


def test_forms_state_the_allowed_values(parsed: dict[str, Any]) -> None:
    form = parsed["dags"]["purchase_propensity.training"]["params"]
    assert form["candidates"]["items"]["enum"] == ["popularity", "ials", "propensity_regression"]
    assert form["as_of"]["format"] == "date"
    assert parsed["dags"]["purchase_propensity.rollback"]["params"]["reason"]["minLength"] == 1
    assert parsed["dags"]["purchase_propensity.rollback"]["params"]["actor"]["type"] == ["null", "string"]
    promotion = parsed["dags"]["purchase_propensity.promotion"]["params"]
    assert promotion["override"]["type"] == "boolean"
    required = {name for name, schema in promotion.items() if "null" not in schema["type"]}
    assert required == {"reason", "override"}, "Airflow's form demands a value for every field that may not be null"


@pytest.mark.servers
def test_an_invalid_use_case_removes_only_its_own_dags(tmp_path: Path) -> None:
    cases = tmp_path / "use_cases"
    shutil.copytree(FOLDER, cases)
    text = (cases / "breast_cancer.yaml").read_text()
    (cases / "breast_cancer.yaml").write_text(text.replace("candidates:", "kandidates:"))
    parsed = parse_dags(tmp_path, TITLEHOLDER_USE_CASES=str(cases))
    assert {dag.split(".")[0] for dag in parsed["dags"]} == {"movie_rating", "purchase_propensity"}
    (path, message), *others = parsed["errors"].items()
    assert not others
    assert path.endswith("broken_use_cases.py")
    assert "breast_cancer.yaml.kandidates: unknown key" in message
    assert "candidates" in message


def test_dags_have_no_schedule_when_schedules_are_off(parsed: dict[str, Any], tmp_path: Path) -> None:
    assert parsed["dags"]["purchase_propensity.features"]["timetable"] == "CronDataIntervalTimetable"
    silent = parse_dags(tmp_path, TITLEHOLDER_SCHEDULES="off")
    assert silent["dags"]["purchase_propensity.features"]["timetable"] == "NullTimetable"


class _Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("params", "interval", "expected"),
    [
        ({"window_start": "2011-01-01", "window_end": "2011-01-08"}, None, "2011-01-01..2011-01-08"),
        ({}, (datetime(2011, 1, 1, tzinfo=UTC), datetime(2011, 1, 2, tzinfo=UTC)), "2011-01-01..2011-01-02"),
        (
            {"window_start": "2011-01-01", "window_end": "2011-01-08"},
            (datetime(2012, 1, 1, tzinfo=UTC), datetime(2012, 1, 2, tzinfo=UTC)),
            "2011-01-01..2011-01-08",
        ),
        ({"window_start": "2011-01-01"}, None, "expected both"),
        ({"window_start": "2011-01-08", "window_end": "2011-01-08"}, None, "exclusive"),
        ({"window_start": "8.1.2011", "window_end": "2011-01-08"}, None, "YYYY-MM-DD"),
        ({}, None, "state window_start and window_end"),
    ],
)
def test_the_form_overrides_the_window_of_the_run(
    params: dict[str, str], interval: tuple[datetime, datetime] | None, expected: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from dags.defaults import window_of_run

    case = load_use_case("purchase_propensity", FOLDER)
    context = {"params": params}
    if interval:
        context |= {"data_interval_start": interval[0], "data_interval_end": interval[1]}  # type: ignore[dict-item]
    if ".." in expected:
        assert window_of_run(case, context).label == expected
        assert isinstance(window_of_run(case, context).start, date)
    else:
        with pytest.raises(AirflowFailException, match=expected):
            window_of_run(case, context)


@pytest.mark.parametrize("schedule", ["@daily", "30 1 * * *", "30 2 * * *", "0 0 * * *"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/Sao_Paulo", "Pacific/Apia"])
def test_the_clock_of_a_zone_gives_each_local_day_once(schedule: str, zone: str) -> None:
    """Over both changes of daylight saving; Brazil's was at midnight, and Apia is 13 or 14 hours ahead."""
    from airflow.timetables.base import DataInterval, TimeRestriction
    from airflow.timetables.interval import CronDataIntervalTimetable

    from dags.defaults import clock, describe, window_of_run

    case = load_use_case("purchase_propensity", FOLDER).model_copy(
        update={"schedule": schedule, "time_zone": zone, "start_date": date(2018, 1, 1)}
    )
    made = clock(case)
    assert made is not None and str(made.timezone) == zone
    scheduler = CronDataIntervalTimetable(schedule, timezone=made.timezone)
    start = describe(case, "features", "")["start_date"]
    restriction = TimeRestriction(earliest=start, latest=None, catchup=True)
    interval: DataInterval | None = None
    for place in range(365):
        due = scheduler.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction)
        assert due is not None
        interval = due.data_interval
        context = {"params": {}, "data_interval_start": interval.start, "data_interval_end": interval.end}
        day = date(2018, 1, 1) + timedelta(days=place)
        assert window_of_run(case, context) == Window(start=day, end=day + timedelta(days=1))


def test_a_run_belongs_to_its_local_day() -> None:
    from dags.defaults import day_of_run

    case = load_use_case("purchase_propensity", FOLDER).model_copy(update={"time_zone": "Pacific/Auckland"})
    assert day_of_run(case, {"logical_date": datetime(2011, 1, 1, 18, tzinfo=UTC)}) == date(2011, 1, 2)


def test_only_transient_errors_are_retried() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from dags.defaults import as_task_outcome
    from tasks.errors import ServiceUnavailable, ValidationFailed

    with pytest.raises(AirflowFailException, match="too many"), as_task_outcome():
        raise ValidationFailed("too many rows")
    with pytest.raises(ServiceUnavailable), as_task_outcome():
        raise ServiceUnavailable("MLflow is down")


def test_a_job_without_work_skips_its_task() -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from dags.defaults import as_task_outcome
    from tasks.errors import NothingToDo

    with pytest.raises(AirflowSkipException, match="no raw file"), as_task_outcome():
        raise NothingToDo("no raw file")


@pytest.mark.servers
def test_a_scheduled_run_covers_the_day_before_it(tmp_path: Path) -> None:
    """Airflow gives a run of `@daily` an interval. Without it the window would depend on the clock."""
    import os
    import subprocess
    import sys

    script = """
import json, pendulum
from airflow.serialization.serialized_objects import DagSerialization
from airflow.dag_processing.dagbag import DagBag
import sys
dag = DagBag(dag_folder=sys.argv[1]).dags["purchase_propensity.features"]
timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
interval = timetable.infer_manual_data_interval(run_after=pendulum.datetime(2026, 1, 2, 9))
print(json.dumps([interval.start.isoformat(), interval.end.isoformat()]))
"""
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "false", "PYTHONPATH": str(ROOT)}
    env.pop("TITLEHOLDER_HOME", None)
    command = [sys.executable, "-c", script, str(ROOT / "dags")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == '["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"]'
