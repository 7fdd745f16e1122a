"""The paired comparison: its corrections, its power, and joint resampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Comparison, Outcome
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.metrics import UNIT, WEIGHT, get_metric, names
from tasks.models.base import Examples
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import ComparingGate, Context
from tasks.stages.evaluation.paired import (
    Answers,
    Question,
    compare,
    compare_many,
    correct,
    correct_both_ways,
    detectable,
    power_at,
)
from tests.tasks.stages.evaluation.contexts import BETTER, CHAMPION, REF, WORSE, answers, context, rows

NDCG = get_metric("ndcg_at_10", TaskKind.PROPENSITY)
LOSS = get_metric("log_loss", TaskKind.CLASSIFICATION)
AUC = get_metric("roc_auc", TaskKind.CLASSIFICATION)


def comparison(p: float, outcome: Outcome = Outcome.INCONCLUSIVE, units: int = 100) -> Comparison:
    return Comparison(
        metric="ndcg_at_10",
        challenger=0.4,
        champion=0.5,
        difference=-0.1,
        low=-0.2,
        high=0.0,
        confidence=0.95,
        units=units,
        resamples=2000,
        outcome=outcome,
        p_worse=p,
    )


def test_holm_by_hand() -> None:
    corrected = correct(
        [comparison(0.04), comparison(0.01, Outcome.WORSE), comparison(0.03, Outcome.WORSE), comparison(0.005)], 0.95
    )
    assert [one.p_worse for one in corrected] == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert [one.outcome for one in corrected] == [
        Outcome.INCONCLUSIVE,
        Outcome.WORSE,
        Outcome.INCONCLUSIVE,
        Outcome.WORSE,
    ]
    assert {one.family for one in corrected} == {4}
    assert correct([], 0.95) == []
    assert correct([comparison(0.9), comparison(0.8)], 0.95)[0].p_worse == 1.0
    assert correct([comparison(0.0005, units=19)], 0.95)[0].outcome is Outcome.INCONCLUSIVE, "too few units for anything"


def test_informative_comparisons_are_corrected_both_ways() -> None:
    informative = [
        comparison(1.0, Outcome.BETTER).model_copy(update={"p_better": 0.001}),
        comparison(1.0, Outcome.BETTER).model_copy(update={"p_better": 0.02}),
        comparison(0.001, Outcome.WORSE).model_copy(update={"p_better": 1.0}),
        comparison(0.02, Outcome.WORSE).model_copy(update={"p_better": 1.0}),
    ]
    corrected = correct_both_ways(informative, 0.95)
    assert [one.outcome for one in corrected] == [
        Outcome.BETTER,
        Outcome.INCONCLUSIVE,
        Outcome.WORSE,
        Outcome.INCONCLUSIVE,
    ]
    assert [one.p_better for one in corrected] == pytest.approx([0.004, 0.06, 1.0, 1.0])
    assert {one.family for one in corrected} == {4}
    assert correct_both_ways([], 0.95) == []
    assert [one.outcome for one in correct_both_ways(informative[1:2], 0.95)] == [Outcome.BETTER], "one alone needs nothing"


def test_holm_correction_limits_false_refusals_of_slices() -> None:
    """12 slices of equal models, 200 trials: a mistake anywhere in at most 5 %; without Holm in far more."""
    mistakes, uncorrected = 0, 0
    for trial in range(200):
        sides = [
            answers(name, name, 0.4, seed=5000 + 2 * trial + side, units=600)
            for side, name in enumerate(("challenger", "champion"))
        ]
        questions = []
        for part in range(12):
            places = np.arange(50 * part, 50 * part + 50)
            cut = [Answers(one.evaluation, one.units.iloc[places].reset_index(drop=True), one.predictions) for one in sides]
            questions.append(Question(NDCG, cut[0], cut[1], 0.0, f"part={part}", places))
        found = compare_many(questions, seed=trial, confidence=0.95, resamples=2000)
        mistakes += any(one.outcome is Outcome.WORSE for one in correct(found, 0.95))
        uncorrected += any(one.p_worse is not None and one.p_worse <= 0.05 for one in found)
    assert mistakes / 200 <= 0.08, "0.05 and two standard errors"
    assert uncorrected / 200 >= 0.25, "the broken twin"


def test_joint_resampling_equals_separate_resampling() -> None:
    generator = np.random.default_rng(3)
    label = (generator.random(400) < 0.5).astype(float)
    sides = [with_losses(rows("m", np.clip(0.5 * label + 0.5 * generator.random(400), 0.01, 0.99), label)) for _ in (0, 1)]
    together = compare_many(
        [Question(metric, sides[0], sides[1]) for metric in (LOSS, AUC)], seed=5, confidence=0.95, resamples=2000
    )
    settings = {"seed": 5, "confidence": 0.95, "resamples": 2000, "margin": 0.0}
    assert together == [compare(metric, *sides, **settings) for metric in (LOSS, AUC)]  # type: ignore[arg-type]


def with_losses(side: Answers) -> Answers:
    part, weight = LOSS.parts(side.predictions[c.PREDICTION].to_numpy(), side.predictions[c.LABEL].to_numpy())
    units = side.units.assign(**{LOSS.name: part, LOSS.name + WEIGHT: weight})
    return Answers(side.evaluation, units, side.predictions)


def test_the_power_is_what_a_simulation_finds() -> None:
    """Normal differences, 60 units: at the detectable effect four of five trials find better."""
    error = 0.1 / np.sqrt(60)
    effect = detectable(error, 0.95)
    assert effect == pytest.approx(error * (1.95996 + 0.84162), rel=1e-4)
    assert power_at(effect, error, 0.95) == pytest.approx(0.8)
    assert power_at(0.0, error, 0.95) == pytest.approx(0.025)
    assert (power_at(0.1, 0.0, 0.95), power_at(0.0, 0.0, 0.95)) == (1.0, 0.0)
    outcomes = []
    for trial in range(200):
        generator = np.random.default_rng([8, trial])
        shared = generator.normal(0.5, 0.2, 60)
        sides = [made_of(shared + shift) for shift in (effect + 0.1 * generator.normal(size=60), 0.0)]
        found = compare(NDCG, *sides, seed=trial, confidence=0.95, resamples=2000, margin=0.0, effect=effect)
        assert found.detectable == pytest.approx(effect, rel=0.4)
        outcomes.append(found.outcome)
    assert outcomes.count(Outcome.BETTER) / 200 == pytest.approx(0.8, abs=0.08)


def made_of(values: np.ndarray) -> Answers:
    made = answers("challenger", "a", 0.4, units=len(values))
    return Answers(made.evaluation, made.units.assign(ndcg_at_10=values), made.predictions)


def test_a_gate_reports_its_power() -> None:
    gate = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10", "effect": 0.02}, "gates")
    seen: Context = context(BETTER, CHAMPION)
    result = gate.check(seen)
    assert 0.9 < result.figures["power"] <= 1.0
    assert 0 < result.figures["detectable"] < 0.02
    assert "a true difference of 0.02 is called better with a chance of" in result.reason
    (kept,) = seen.comparisons
    assert Comparison.from_json(kept.to_json()) == kept
    assert [kept.effect, kept.power, kept.detectable] == [
        0.02,
        pytest.approx(result.figures["power"]),
        pytest.approx(result.figures["detectable"]),
    ]


def test_an_inconclusive_comparison_names_the_needed_difference() -> None:
    gate = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10"}, "gates")
    result = gate.check(
        context(answers("challenger", "als", 0.4, seed=2, units=30), answers("champion", "c", 0.4, seed=1, units=30))
    )
    assert "inconclusive" in result.reason
    assert "it takes a true difference of" in result.reason


def clustered(patients: int, each: int, seed: int) -> tuple[Answers, Answers, Examples]:
    """Two equally good classifiers; who of the two is right depends on the patient, not on the row."""
    generator = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients, dtype=float), each)
    label = (generator.random(len(patient)) < 0.5).astype(float)
    favours = np.repeat(generator.normal(0, 0.15, patients), each)
    sides = []
    for sign in (1, -1):
        right = np.clip(0.65 + sign * favours, 0.05, 0.95)
        sides.append(with_losses(rows("m", np.where(label > 0, right, 1 - right), label)))
    table = pd.DataFrame({c.ROW_ID: sides[0].units[UNIT], c.TARGET: label.astype(int), "patient": patient})
    return sides[0], sides[1], Examples(rows=table)


def test_rows_of_one_patient_are_drawn_together() -> None:
    mine, theirs, examples = clustered(40, 25, seed=1)
    judged = {}
    for group_by in (None, "patient"):
        seen = context(mine, theirs, task=TaskKind.CLASSIFICATION, read_holdout=lambda: examples)
        gate = GATES.parse({"kind": "beats_champion", "metric": "log_loss", "group_by": group_by}, "gates")
        gate.check(seen)
        judged[group_by] = seen.comparisons[0]
    assert (judged[None].units, judged["patient"].units) == (1000, 40)
    assert judged["patient"].difference == pytest.approx(judged[None].difference)
    widths = {name: one.high - one.low for name, one in judged.items()}
    assert widths["patient"] > 3 * widths[None]


def test_resampling_by_group_keeps_the_error_rate() -> None:
    """150 pairs of equal classifiers, 30 patients of 20 rows each."""
    better = {None: 0, "patient": 0}
    for trial in range(150):
        mine, theirs, examples = clustered(30, 20, seed=100 + trial)
        patients = examples.rows["patient"].to_numpy().astype(np.intp) if examples.rows is not None else None
        for name, groups in ((None, None), ("patient", patients)):
            found = compare(LOSS, mine, theirs, seed=trial, confidence=0.95, resamples=2000, margin=0.0, groups=groups)
            better[name] += found.outcome is Outcome.BETTER
    assert better["patient"] / 150 <= 0.06
    assert better[None] / 150 >= 0.15, "the broken twin"


def test_rows_without_a_group_and_unknown_group_columns() -> None:
    mine, theirs, examples = clustered(30, 2, seed=1)
    assert examples.rows is not None
    gaps = Examples(rows=examples.rows.assign(patient=examples.rows["patient"].where(examples.rows.index >= 4)))
    seen = context(mine, theirs, task=TaskKind.CLASSIFICATION, read_holdout=lambda: gaps)
    groups = seen.groups("patient")
    assert groups is not None
    assert len(set(groups)) == 4 + 28
    assert len(set(groups[:4]) & set(groups[4:])) == 0
    with pytest.raises(NotEnoughData, match="no column 'ward'; they have: row_id, target, patient"):
        seen.groups("ward")


@pytest.mark.parametrize("kind", [kind for kind, gate in GATES.kinds.items() if issubclass(gate, ComparingGate)])
def test_users_are_not_grouped(kind: str) -> None:
    settings: dict[str, dict[str, Any]] = {
        "beats_champion": {"metric": "ndcg_at_10"},
        "minimum_metric": {"metric": "ndcg_at_10", "at_least": 0.1},
        "no_slice_regression": {"metrics": {"ndcg_at_10": 0.01}},
        "calibration": {"at_most": 0.1},
    }
    gate = GATES.parse({"kind": kind, "group_by": "segment", **settings[kind]}, "gates")
    with pytest.raises(ConfigurationError, match="are users already"):
        gate.check_fits(TaskKind.PROPENSITY, ("ndcg_at_10",), ("als",))


def test_placements_stand_in_for_the_exact_roc_auc(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(6)
    signal = generator.normal(size=2500)
    label = (generator.random(2500) < 1 / (1 + np.exp(-signal))).astype(float)
    sides = [rows("m", np.round(signal + noise * generator.normal(size=2500), 1), label) for noise in (0.5, 1.0)]
    found = []
    for many in (1, 10**9):
        monkeypatch.setattr(names, "MANY", many)
        found.append(compare(AUC, *sides, seed=1, confidence=0.95, resamples=2000, margin=0.0))
    fast, exact = found
    assert fast.challenger == exact.challenger
    assert (fast.low, fast.high) == pytest.approx((exact.low, exact.high), abs=0.03 * (exact.high - exact.low))


def test_a_slice_may_lose_its_margin() -> None:
    questions = [Question(NDCG, WORSE, CHAMPION, margin, str(margin)) for margin in (0.0, 0.08)]
    strict, lenient = correct(compare_many(questions, seed=1, confidence=0.95, resamples=2000), 0.95)
    assert (strict.outcome, lenient.outcome) == (Outcome.WORSE, Outcome.INCONCLUSIVE)
    assert strict.challenger == WORSE.evaluation.metrics["ndcg_at_10"] and REF.key
