"""What may be replayed, and in which folder."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import yaml

from tasks import backtest
from tasks.backtest.plan import Plan, PolicyPlan, Retraining, digest_of, open_folder, read_plan
from tasks.contracts.judging import GateMode
from tasks.errors import ConfigurationError
from tasks.settings import ROOT
from tasks.use_case import UseCase, load_use_case, parse_use_case

CASE = "purchase_propensity"
TEXT = (ROOT / "conf" / "use_cases" / f"{CASE}.yaml").read_text()
START, END = date(2011, 3, 7), date(2011, 3, 28)


def make_plan(**fields: object) -> Plan:
    one = PolicyPlan(name="this", digest=digest_of(TEXT))
    return Plan.model_validate({"use_case": CASE, "start": START, "end": END, "policies": (one,), **fields})


@pytest.fixture
def case() -> UseCase:
    return load_use_case(CASE)


def test_windows_follow_the_schedule_or_the_stated_length(case: UseCase) -> None:
    history, decided = make_plan(history_days=3).windows(case)
    assert [window.label for window in history] == [
        "2011-03-04..2011-03-05",
        "2011-03-05..2011-03-06",
        "2011-03-06..2011-03-07",
    ]
    assert len(decided) == 21 and decided[0].start == START and decided[-1].end == END
    history, decided = make_plan(window_days=7, history_days=15).windows(case)
    assert [window.start for window in history] == [date(2011, 2, 21), date(2011, 2, 28)]
    assert [window.days for window in decided] == [7, 7, 7]
    weekly = case.model_copy(update={"schedule": "0 6 * * 1"})
    assert [window.start for window in make_plan().windows(weekly)[1]] == [START, date(2011, 3, 14), date(2011, 3, 21)]


def test_impossible_plans_are_refused(case: UseCase) -> None:
    with pytest.raises(ValueError, match="ends after it starts"):
        make_plan(end=START)
    with pytest.raises(ConfigurationError, match="state the days of a window with --window-days"):
        make_plan().windows(case.model_copy(update={"schedule": None}))
    with pytest.raises(ConfigurationError, match="no window fits between 2011-03-07 and 2011-03-28"):
        make_plan(window_days=22).windows(case)
    with pytest.raises(ValueError, match="distinct names; got this, this"):
        make_plan(policies=make_plan().policies * 2)


def test_a_backtest_compares_with_never_and_every_week(tmp_path: Path) -> None:
    other = tmp_path / "stricter.yaml"
    other.write_text(TEXT.replace("effect: 0.02", "effect: 0.05"))
    plan, texts = backtest.make_plan(CASE, START, END, backtest.Options(others=[other]))
    assert [policy.name for policy in plan.policies] == ["this", "stricter", "never_retrain", "every_week"]
    assert [policy.retraining for policy in plan.policies] == [
        *[Retraining.AS_WRITTEN] * 2,
        Retraining.NEVER,
        Retraining.EVERY_WEEK,
    ]
    assert plan.history_days == 90 + 3 * 14
    weekly = parse_use_case(texts["every_week"], "every_week.yaml")
    assert (weekly.gates.mode, weekly.review.by) == (GateMode.DISABLED, "auto")
    assert weekly.gates.checks == parse_use_case(TEXT, "this.yaml").gates.checks
    alone, _ = backtest.make_plan(CASE, START, END, backtest.Options(is_alone=True, history_days=5))
    assert [policy.name for policy in alone.policies] == ["this"] and alone.history_days == 5


def test_a_policy_may_leave_its_gates_and_review_to_their_defaults(tmp_path: Path) -> None:
    document = yaml.safe_load(TEXT)
    del document["gates"], document["review"]
    weekly = parse_use_case(backtest.without_gates(yaml.safe_dump(document)), "weekly.yaml")
    assert (weekly.gates.mode, weekly.review.by) == (GateMode.DISABLED, "auto")


def test_other_policies_are_of_the_same_use_case(tmp_path: Path) -> None:
    for name, text, message in (
        ("other.yaml", TEXT.replace(f"name: {CASE}", "name: another"), "expected name: purchase_propensity"),
        ("never_retrain.yaml", TEXT, "a policy of this name is in every backtest"),
        ("broken.yaml", "name: [", "broken.yaml: not YAML"),
        ("latin.yaml", "title: Käufe", "latin.yaml: line 1: expected UTF-8, got byte 0xe4"),
    ):
        path = tmp_path / name
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ConfigurationError, match=message):
            backtest.make_plan(CASE, START, END, backtest.Options(others=[path]))
    with pytest.raises(ConfigurationError, match="there is no such file"):
        backtest.make_plan(CASE, START, END, backtest.Options(others=[tmp_path / "absent.yaml"]))
    with pytest.raises(ConfigurationError, match="no world 'flat'; the worlds are: calm"):
        backtest.make_plan(CASE, START, END, backtest.Options(world="flat"))


def test_a_folder_holds_one_backtest(tmp_path: Path) -> None:
    plan, folder = make_plan(), tmp_path / "backtest"
    open_folder(folder, plan, {"this": TEXT})
    assert read_plan(folder) == plan
    assert (folder / "policies" / "this" / "use_cases" / f"{CASE}.yaml").read_text() == TEXT
    open_folder(folder, plan, {"this": TEXT})
    with pytest.raises(ConfigurationError, match="holds another backtest"):
        open_folder(folder, make_plan(seed=8), {"this": TEXT})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigurationError, match="expected a new or empty folder"):
        open_folder(tmp_path / "full", plan, {"this": TEXT})
    with pytest.raises(ConfigurationError, match="holds no backtest"):
        read_plan(tmp_path / "full")
    assert json.loads((folder / "plan.json").read_text())["format"] == 1


def test_folders_that_meet_the_installation_are_refused(own_home: Path) -> None:
    for place in (own_home, own_home.parent, own_home / "data", own_home / "backtests"):
        with pytest.raises(ConfigurationError, match="must not meet the state of the installation"):
            open_folder(place, make_plan(), {"this": TEXT})
    assert not own_home.exists()
    place = backtest.default_folder(make_plan())
    open_folder(place, make_plan(), {"this": TEXT})
    assert place.parent == own_home / "backtests" / CASE and place.name.startswith("2011-03-07..2011-03-28.past.")
