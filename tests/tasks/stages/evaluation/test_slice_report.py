"""What the verdict shows of slices: the gates' own comparisons, else corrected ones of the report, and the weakest segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import MIN_UNITS_OF_A_LOSS, GateMode, Role, Slice
from tasks.models.base import Examples
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import Context, Gate
from tasks.stages.evaluation.paired import Answers
from tasks.stages.evaluation.slice_report import measure_slices, plan_slices
from tests.tasks.stages.evaluation.contexts import BASELINE, BETTER, CHAMPION, COUNTRIES, NEW, context, holdout, rows, shifted

GATE = {"kind": "no_slice_regression", "metrics": {"ndcg_at_10": 0.01}, "slices": ["segment", "new_users"]}
DEFAULTS = ["new_users", "light_users", "heavy_users", "new_items", "segment=missing", "segment=France", "segment=Norway"]


def report(seen: Context, *gates: Gate, mode: GateMode = GateMode.ENABLED) -> tuple[list[Slice], list[Slice]]:
    plan = plan_slices(gates, mode, seen)
    results = [gate.check(seen) for gate in gates if (gate.mode or mode) is not GateMode.DISABLED]
    slices, segments = measure_slices(plan, results, seen)
    return list(slices), list(segments)


def parse(**changed: object) -> Gate:
    gate: Gate = GATES.parse(GATE | changed, "gates")
    return gate


def test_slices_are_those_of_the_gate_with_its_comparisons() -> None:
    gate, seen = parse(), context(BETTER, CHAMPION, BASELINE, read_holdout=holdout)
    slices, _ = report(seen, gate)
    judged = gate.check(seen).comparisons
    assert [one.name for one in slices] == ["segment=missing", "segment=France", "segment=Norway", "new_users"]
    assert tuple(one.comparison for one in slices) == judged
    assert all(one.is_judged and set(one.values) == set(Role) - {Role.ANCHOR} for one in slices)
    assert [one.units for one in slices] == [60, 70, 70, 60]


def test_slices_below_the_gates_size_are_measured_and_not_compared() -> None:
    slices, segments = report(context(BETTER, CHAMPION, read_holdout=holdout), parse(min_units=65))
    assert [(one.name, one.comparison is None, one.is_judged) for one in slices] == [
        ("segment=missing", True, False),
        ("segment=France", False, True),
        ("segment=Norway", False, True),
        ("new_users", True, False),
    ]
    assert {one.min_units for one in (*slices, *segments)} == {65}
    assert all(one.units >= 65 for one in segments)


@pytest.mark.parametrize("gates", [(), (parse(mode="disabled"),)])
def test_without_a_gate_default_slices_are_only_reported(gates: tuple[Gate, ...]) -> None:
    slices, _ = report(context(BETTER, CHAMPION, read_holdout=holdout), *gates)
    assert [one.name for one in slices if one.name != "new_items"] == [one for one in DEFAULTS if one != "new_items"]
    compared = [one.comparison for one in slices if one.comparison is not None]
    assert not any(one.is_judged for one in slices) and len(compared) == len(slices) == compared[0].family
    assert {one.min_units for one in slices} == {MIN_UNITS_OF_A_LOSS}


def test_without_a_champion_slices_have_values_only() -> None:
    slices, segments = report(context(BETTER, None, BASELINE, read_holdout=holdout), parse())
    assert all(one.comparison is None and not one.is_judged for one in (*slices, *segments))
    assert all(set(one.values) == {Role.CHALLENGER, Role.BASELINE} for one in slices)


def planted(share: int) -> tuple[Examples, Answers]:
    """200 rows of which every `share`th, of Peru, is predicted badly; `is_far` selects the same rows."""
    place = np.arange(200)
    peru, label = place % share == 0, (place % 2).astype(float)
    table = pd.DataFrame(
        {
            c.ROW_ID: [f"r{row:04d}" for row in place],
            c.TARGET: label,
            "country": np.where(peru, "Peru", "Norway"),
            "is_far": peru.astype(float),
            "noise": np.random.default_rng(3).normal(size=200),
        }
    )
    side = rows("m", np.where(peru, 1 - label, label) * 0.8 + 0.1, label)
    loss = (side.predictions[c.PREDICTION] - side.predictions[c.LABEL]) ** 2
    units = side.units.assign(brier=loss, brier__weight=1.0)
    metrics = {"brier": float(loss.mean())}
    return Examples(rows=table), replace(side, units=units, evaluation=side.evaluation.model_copy(update={"metrics": metrics}))


def test_a_planted_weakness_is_found_once() -> None:
    examples, side = planted(5)
    seen = context(side, None, task=TaskKind.CLASSIFICATION, read_holdout=lambda: examples)
    _, segments = report(seen)
    assert (segments[0].name, segments[0].units, segments[0].metric) == ("country=Peru", 40, "brier")
    assert "is_far=1" not in [one.name for one in segments]
    assert segments[0].values[Role.CHALLENGER] == pytest.approx(0.81)


def test_segments_below_the_minimal_size_are_left_out() -> None:
    examples, side = planted(11)
    seen = context(side, None, task=TaskKind.CLASSIFICATION, read_holdout=lambda: examples)
    assert all("Peru" not in one.name and one.units >= MIN_UNITS_OF_A_LOSS for one in report(seen)[1])


def test_a_planted_regression_shows_in_slices_and_segments() -> None:
    france = shifted(0.50, (COUNTRIES == "France") & ~NEW, -0.25)
    slices, segments = report(context(france, CHAMPION, read_holdout=holdout), parse())
    found = next(one for one in slices if one.name == "segment=France")
    assert found.comparison is not None and found.comparison.outcome.value == "worse"
    assert segments[0].name == "segment=France" and segments[0].comparison is not None
