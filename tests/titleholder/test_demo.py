"""The demo ticks only what happened: each step with stand-ins for Airflow and the endpoint, on a real ledger and storage."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.predictions import AnswerPath, Prediction
from tasks.contracts.promotion import Action, Trust
from tasks.errors import ServiceUnavailable, TitleholderError
from tasks.io.storage import frame_writer
from tasks.settings import get_settings
from titleholder import demo as demo_module
from titleholder.demo import CASE, Demo, Load
from titleholder.demo_data import Calendar
from titleholder.demo_report import State, Step, summarize

DAY = date(2011, 3, 1)


def window(first: int, days: int) -> Window:
    return Window(start=DAY + timedelta(days=first), end=DAY + timedelta(days=first + days))


CALENDAR = Calendar(history=window(0, 10), dirty=window(10, 1), later=(window(11, 5), window(16, 5)))


@dataclass
class Airflow:
    """Runs end at once; what each does is set by DAG. A run that fails has an error of that text in its log."""

    acts: dict[str, Callable[[], dict[str, Any] | str]] = field(default_factory=dict)
    follows: dict[str, tuple[str, ...]] = field(default_factory=dict)
    made: dict[str, list[str]] = field(default_factory=dict)
    returned: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    url = "http://airflow"

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> dict[str, Any]:
        dag = dag_id.removeprefix(f"{CASE}.")
        run = f"{dag}-{len(self.made.setdefault(dag_id, [])) + 1}"
        self.made[dag_id].append(run)
        found = self.acts.get(dag, dict)()
        if isinstance(found, str):
            self.errors[run] = found
            return {"dag_run_id": run}
        self.returned[run] = found
        is_refused = dag == "training" and not found["register"]["passed"]
        for next_dag in () if is_refused else self.follows.get(dag, ()):
            self.trigger(f"{CASE}.{next_dag}")
        return {"dag_run_id": run}

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return [{"dag_run_id": run, "state": "success"} for run in self.made.get(dag_id, [])]

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return {"state": "failed" if run_id in self.errors else "success"}

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        state = "failed" if run_id in self.errors else "success"
        return [{"task_id": "task", "map_index": -1, "state": state, "duration": 1.0, "try_number": 1}]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> str:
        return self.errors[run_id]

    def run_page(self, dag_id: str, run_id: str) -> str:
        return f"{self.url}/{run_id}"

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        return self.returned[run_id][task_id]


def judged(version: int, *refused: str) -> dict[str, Any]:
    gates = [{"gate": gate, "reason": "too bad", "passed": gate not in refused, "mode": "enabled"} for gate in GATES]
    return {"register": {"version": version, "passed": not refused}, "judge": {"gates": gates}}


GATES = ("minimum_metric", "beats_champion", "freshness")


class Scene:
    """A demo whose services are stand-ins."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, real: bool = True) -> None:
        self.output, self.airflow = io.StringIO(), Airflow()
        settings = get_settings()
        self.demo = Demo(settings, Console(file=self.output, width=250), CALENDAR, folder, real=real)
        self.demo.airflow = self.airflow  # type: ignore[assignment]  # a stand-in
        self.served: int | None = None
        monkeypatch.setattr(demo_module, "served_model", lambda *_: {"version": self.served})
        monkeypatch.setattr(demo_module, "await_version", lambda *_: None)
        self.follow_ledger = True
        self.airflow.acts["training"] = lambda: judged(1)
        self.airflow.follows = {"features": ("monitoring",), "training": ("promotion",)}
        for day in range(30):
            (folder / f"{DAY + timedelta(days=day)}.csv").write_text("InvoiceDate,x\n" + "2011,1\n" * 40)

    def promote(self, version: int, action: Action = Action.PROMOTE) -> None:
        self.demo.ledger.append(
            use_case=CASE,
            action=action,
            version=version,
            expected_head=self.demo.ledger.head(CASE),
            manifest_digest=f"{version}" * 64,
            data_digest="d" * 64,
            report_digest="e" * 64,
            code_version="test",
            actor="policy:auto",
            trust=Trust.POLICY,
            reason="a test",
            dag_run=f"run {version} {action}",
        )
        if self.follow_ledger:
            self.served = version

    @property
    def last(self) -> Step:
        return self.demo.steps[-1]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    folder = tmp_path / "warehouse"
    folder.mkdir()
    return Scene(folder, monkeypatch)


def act(scene: Scene, **acts: Callable[[], object]) -> None:
    """What runs do beside ending well."""

    def end_well(what: Callable[[], object]) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            what()
            return {}

        return run

    scene.airflow.acts |= {dag: end_well(what) for dag, what in acts.items()}


# the first champion


def test_a_served_champion_is_ticked(scene: Scene) -> None:
    scene.airflow.follows["monitoring"] = ("training",)
    act(scene, promotion=lambda: scene.promote(1))
    scene.demo.first_champion()
    assert (scene.last.state, scene.last.outcome) == (State.DONE, "version 1 promoted by policy:auto and served")


def test_a_champion_that_is_not_served_is_a_failure(scene: Scene) -> None:
    scene.airflow.follows["monitoring"], scene.follow_ledger = ("training",), False
    act(scene, promotion=lambda: scene.promote(1))
    with pytest.raises(TitleholderError, match="the ledger names version 1, the endpoint serves"):
        scene.demo.first_champion()
    assert scene.last.state is State.FAILED


def test_without_a_first_champion_every_later_step_says_so(scene: Scene) -> None:
    scene.airflow.follows["monitoring"] = ("training",)
    scene.airflow.acts["training"] = lambda: judged(1, "minimum_metric")
    demo = scene.demo
    demo.first_champion()
    assert scene.last.state is State.NOT_POSSIBLE
    assert scene.last.outcome == "the gates refused version 1: minimum_metric: too bad"
    for step in (demo.send_requests, demo.simple_challenger, demo.drift, demo.roll_back, demo.trace):
        step()
    assert {one.state for one in demo.steps} == {State.NOT_POSSIBLE}
    assert demo.summary().startswith("0 of 8 steps, 8 not possible: First champion: raw files to a served model (")
    assert "Rollback (there is no champion)" in demo.summary()


def test_generated_data_allow_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "warehouse").mkdir()
    scene = Scene(tmp_path / "warehouse", monkeypatch, real=False)
    scene.promote(1)
    with pytest.raises(TitleholderError, match="there is no former champion"):
        scene.demo.roll_back()
    assert scene.last.state is State.FAILED


# the dirty file


def publish(scene: Scene, rows_of: dict[str, int]) -> None:
    """Layers with so many rows of the dirty day."""
    for layer, rows in rows_of.items():
        frame = pd.DataFrame({c.ROW_ID: [f"r{row}" for row in range(rows)], c.BROKEN_RULES: "date_known"})
        scene.demo.storage.publish(
            use_case=CASE, layer=layer, partition=CALENDAR.dirty.label, tables={c.ROWS: frame_writer(frame)}
        )


def test_a_dirty_file_is_ticked_by_its_quarantine(scene: Scene) -> None:
    act(scene, features=lambda: publish(scene, {c.QUARANTINE: 2, c.VALIDATED: 38}))
    scene.demo.dirty_file()
    assert scene.last.state is State.DONE
    said = "2 rows of 2011-03-11, which the demo spoilt in quarantine (date_known 2); the other 38 are used"
    assert scene.last.outcome == said


def test_data_that_break_too_many_rules_do_not_allow_a_dirty_file(scene: Scene) -> None:
    scene.airflow.acts["features"] = lambda: "tasks.errors.ValidationFailed: 30 of 40 rows are broken"
    scene.demo.dirty_file()
    assert scene.last.state is State.NOT_POSSIBLE and "30 of 40 rows are broken" in scene.last.outcome


@pytest.mark.parametrize("layers", [(), (c.QUARANTINE,), (c.VALIDATED,)])
def test_a_dirty_file_without_both_parts_is_a_failure(scene: Scene, layers: tuple[str, ...]) -> None:
    act(scene, features=lambda: publish(scene, dict.fromkeys(layers, 2)))
    with pytest.raises(TitleholderError, match="no row of the dirty file"):
        scene.demo.dirty_file()
    assert scene.last.state is State.FAILED


def test_a_crash_is_not_blamed_on_the_data(scene: Scene) -> None:
    scene.airflow.acts["features"] = lambda: "ZeroDivisionError: division by zero"
    with pytest.raises(TitleholderError, match="division by zero"):
        scene.demo.dirty_file()
    assert scene.last.state is State.FAILED


# a simple challenger


@pytest.mark.parametrize(
    ("refused", "state", "said"),
    [
        (("minimum_metric", "beats_champion"), State.DONE, "refused by 2 gates; the champion stays"),
        (("minimum_metric",), State.NOT_POSSIBLE, "beats the champion; only minimum_metric refused it"),
        ((), State.NOT_POSSIBLE, "passed every gate, and is the champion now"),
    ],
)
def test_a_refusal_counts_that_compared_with_the_champion(
    scene: Scene, refused: tuple[str, ...], state: State, said: str
) -> None:
    scene.promote(1)
    scene.airflow.acts["training"] = lambda: judged(2, *refused)
    act(scene, promotion=lambda: scene.promote(2))
    scene.demo.simple_challenger()
    assert scene.last.state is state and said in scene.last.outcome


# later days


@dataclass
class Decided:
    window: Window
    retrain: bool
    reason: str = "figures"


@pytest.fixture
def decisions(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[Decided]:
    found: list[Decided] = []

    class Log:
        def __init__(self, *_: Any) -> None: ...

        def decisions(self, _: str) -> list[Decided]:
            return found

    monkeypatch.setattr(demo_module, "DecisionLog", Log)
    scene.promote(1)
    return found


def test_a_requested_retraining_replaces_the_champion(scene: Scene, decisions: list[Decided]) -> None:
    scene.airflow.follows["monitoring"] = ("training",)
    scene.airflow.acts["training"] = lambda: judged(2)
    act(
        scene, monitoring=lambda: decisions.append(Decided(CALENDAR.later[0], retrain=True)), promotion=lambda: scene.promote(2)
    )
    scene.demo.drift()
    assert [one.state for one in scene.demo.steps] == [State.DONE] * 2
    assert "version 2 replaces version 1, requested by monitoring" in scene.last.outcome


def test_a_challenger_that_is_not_better_replaces_nobody(scene: Scene, decisions: list[Decided]) -> None:
    later = iter(CALENDAR.later)
    act(scene, monitoring=lambda: decisions.append(Decided(next(later), retrain=False)))
    scene.airflow.acts["training"] = lambda: judged(2, "beats_champion")
    scene.demo.drift()
    assert [one.state for one in scene.demo.steps] == [State.DONE, State.DONE, State.NOT_POSSIBLE]
    assert scene.last.outcome == "the gates refused version 2: beats_champion: too bad"
    scene.demo.roll_back()
    assert (scene.last.state, scene.last.outcome) == (State.NOT_POSSIBLE, "there is no former champion")
    assert scene.demo.summary() == (
        "2 of 4 steps, 2 not possible: A new challenger replaces the champion (the gates refused version 2: beats_champion: "
        "too bad); Rollback (there is no former champion)"
    )


def test_a_decision_about_other_days_proves_nothing(scene: Scene, decisions: list[Decided]) -> None:
    act(scene, monitoring=lambda: decisions.append(Decided(CALENDAR.history, retrain=True)))
    with pytest.raises(TitleholderError, match="monitoring decided about 2011-03-01"):
        scene.demo.drift()
    assert scene.last.state is State.FAILED


def test_an_unchanged_champion_is_a_failure(scene: Scene, decisions: list[Decided]) -> None:
    scene.airflow.follows["monitoring"] = ("training",)
    act(scene, monitoring=lambda: decisions.append(Decided(CALENDAR.later[0], retrain=True)))
    with pytest.raises(TitleholderError, match="the champion did not change"):
        scene.demo.drift()


# rollback and trace


def test_a_rollback_is_ticked_by_ledger_and_endpoint(scene: Scene) -> None:
    scene.promote(1)
    scene.promote(2)
    act(scene, rollback=lambda: scene.promote(1, Action.ROLLBACK))
    scene.demo.roll_back()
    assert (scene.last.state, scene.last.outcome[:9]) == (State.DONE, "version 1")
    act(scene, rollback=lambda: None)
    with pytest.raises(TitleholderError, match="the rollback failed"):
        scene.demo.roll_back()


def answer(scene: Scene, version: int, digest: str) -> Load:
    """A load of one answer, which the prediction log holds."""
    scene.demo.log.append(
        [
            Prediction(
                prediction_id="p1",
                made_at=datetime(2011, 3, 12, tzinfo=UTC),
                use_case=CASE,
                channel="online",
                subject="u1",
                model_version=version,
                manifest_digest=digest,
                features_version="f" * 16,
                features_as_of=DAY,
                path=AnswerPath.MODEL,
                items=("i1",),
                scores=(0.5,),
                latency_ms=1.0,
            )
        ]
    )
    return Load("http://endpoint", ["u1"], answered=1, versions={"p1": 1})


@pytest.mark.parametrize(
    ("version", "digest", "fault"),
    [(1, "1" * 64, ""), (2, "1" * 64, "names other versions than the answers"), (1, "f" * 64, "names another model")],
)
def test_a_trace_compares_answers_log_and_ledger(scene: Scene, version: int, digest: str, fault: str) -> None:
    scene.promote(1)
    scene.demo.load = answer(scene, version, digest)
    if fault:
        with pytest.raises(TitleholderError, match=fault):
            scene.demo.trace()
        return
    scene.demo.trace()
    assert scene.last.state is State.DONE and scene.last.outcome.startswith(
        "1 answers by versions 1, all in the prediction log"
    )


def test_an_answer_that_is_not_logged_is_a_failure(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.promote(1)
    scene.demo.load = Load("http://endpoint", ["u1"], answered=1, versions={"lost": 1})
    monkeypatch.setattr(demo_module, "LOGGED_WITHIN_SECONDS", 0.0)
    with pytest.raises(ServiceUnavailable, match="the prediction log to hold every answer; last state: 1 of 1 missing"):
        scene.demo.trace()


def test_the_summary_counts_what_happened() -> None:
    steps = [Step("a", state=State.DONE), Step("b", "no data", state=State.NOT_POSSIBLE), Step("c", "broken")]
    assert summarize(steps[:1]) == "1 of 1 steps"
    assert summarize(steps) == "1 of 3 steps, 1 not possible: b (no data), 1 failed: c (broken)"
