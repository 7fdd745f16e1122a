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
from tasks.metrics import UNIT, WEIGHT, Metric, get_metric
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
    alike = comparison(0.0005).model_copy(update={"differing": 5})
    assert correct([alike], 0.95)[0].outcome is Outcome.INCONCLUSIVE, "too few units that differ"


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
    """Normal differences, 150 units: at the detectable effect four of five trials find better."""
    assert detectable(0.01, 0.02) == pytest.approx(0.02 + 0.84162 * 0.01, rel=1e-4)
    assert power_at(0.02, 0.01, 0.02) == pytest.approx(0.5)
    assert power_at(0.0, 0.01, 0.0195996) == pytest.approx(0.025, rel=1e-3)
    assert (power_at(0.1, 0.0, 0.05), power_at(0.0, 0.0, 0.05)) == (1.0, 0.0)
    outcomes, detected = [], []
    for trial in range(200):
        generator = np.random.default_rng([8, trial])
        shared = generator.normal(0.5, 0.2, 150)
        sides = [made_of(shared + shift) for shift in (0.13 + 0.1 * generator.normal(size=150), 0.1)]
        found = compare(NDCG, *sides, seed=trial, confidence=0.95, resamples=2000, margin=0.0, effect=0.03)
        assert found.power is not None and found.detectable is not None
        outcomes.append((found.outcome is Outcome.BETTER, found.power))
        detected.append(found.detectable)
    better, power = np.mean(outcomes, axis=0)
    assert power == pytest.approx(better, abs=0.08)
    assert 0.8 < np.mean(detected) / 0.03 < 1.3


def made_of(values: np.ndarray) -> Answers:
    made = answers("challenger", "a", 0.4, units=len(values))
    return Answers(made.evaluation, made.units.assign(ndcg_at_10=values), made.predictions)


def test_a_gate_reports_its_power() -> None:
    gate = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10", "effect": 0.02}, "gates")
    seen: Context = context(BETTER, CHAMPION)
    result = gate.check(seen)
    assert 0.8 < result.figures["power"] <= 1.0
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
        context(answers("challenger", "als", 0.41, seed=3, units=120), answers("champion", "c", 0.4, seed=1, units=120))
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


def test_the_groups_of_a_split_are_drawn_together_without_a_setting() -> None:
    mine, theirs, examples = clustered(40, 25, seed=1)
    assert examples.rows is not None
    by_split = Examples(rows=examples.rows.rename(columns={"patient": c.SPLIT_GROUP}))
    found = []
    for given, group_by in ((by_split, None), (examples, "patient")):
        seen = context(mine, theirs, task=TaskKind.CLASSIFICATION, read_holdout=lambda given=given: given)
        GATES.parse({"kind": "beats_champion", "metric": "log_loss", "group_by": group_by}, "gates").check(seen)
        found.append(seen.comparisons[0])
    assert found[0] == found[1] and found[0].units == 40


def test_resampling_by_group_keeps_the_error_rate() -> None:
    """150 pairs of equal classifiers, 100 patients of 10 rows each."""
    better = {None: 0, "patient": 0}
    for trial in range(150):
        mine, theirs, examples = clustered(100, 10, seed=100 + trial)
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


@pytest.mark.parametrize("name", ["roc_auc", "pr_auc", "gain_at_top_decile"])
def test_intervals_of_metrics_of_all_rows_agree_with_resampled_ones(name: str) -> None:
    """The linear interval is as wide as that of exact resamples."""
    generator = np.random.default_rng(6)
    signal = generator.normal(size=800)
    label = (generator.random(800) < 1 / (1 + np.exp(-signal))).astype(float)
    sides = [rows("m", np.round(signal + noise * generator.normal(size=800), 1), label) for noise in (0.5, 1.0)]
    metric = get_metric(name, TaskKind.CLASSIFICATION)
    found = compare(metric, *sides, seed=1, confidence=0.95, resamples=2000, margin=0.0)
    weights = np.stack([np.bincount(generator.integers(0, 800, 800), minlength=800) for _ in range(1000)]).astype(float)
    mine, theirs = (metric.compute(side.units, side.predictions, weights) for side in sides)
    low, high = np.quantile(mine - theirs, [0.025, 0.975])
    assert found.high == pytest.approx(high, abs=0.15 * (high - low))
    assert found.high - found.low == pytest.approx(high - low, rel=0.25)


def skewed(generator: np.random.Generator) -> tuple[Answers, Answers]:
    """A little more from most users, and nothing more from the three in a hundred who spend much."""
    is_big = generator.random(100) < 0.03
    usual, big = np.exp(generator.normal(2, 0.8, 100)), np.exp(generator.normal(4, 1, 100))
    champion = usual + big * is_big
    return made_of(np.where(is_big, usual, champion + 0.03 / 0.97 * np.exp(4.5))), made_of(champion)


def rare(generator: np.random.Generator) -> tuple[Answers, Answers]:
    """An overconfident classifier, whose one mistake in 200 rows costs ten, beside a moderate one of the same log loss."""
    label = (generator.random(100) >= 0.005).astype(float)
    noise = generator.uniform(-0.1, 0.1, (2, 100))
    mine, theirs = (
        with_losses(rows("m", 1 / (1 + np.exp(-logit - noise[side])), label)) for side, logit in enumerate((10.0, 3.44))
    )
    return mine, theirs


NULLS = {"skewed": (NDCG, skewed), "rare": (LOSS, rare)}


def percentile_low(metric: Metric, mine: Answers, theirs: Answers, seed: int) -> float:
    """The lower limit by the quantiles of resampled differences."""
    sign = 1.0 if metric.greater_is_better else -1.0
    values = sign * (mine.units[metric.name] - theirs.units[metric.name]).to_numpy()
    drawn = np.random.default_rng(seed).integers(0, len(values), (500, len(values)))
    return float(np.quantile(values[drawn].mean(axis=1), 0.025))


@pytest.mark.parametrize("name", sorted(NULLS))
def test_equal_models_are_rarely_called_better(name: str) -> None:
    """100 units, the holdout on which quantiles of the differences err most; `python -m benchmarks.gate nulls` has more."""
    metric, sides_of = NULLS[name]
    promoted, by_percentile = 0, 0
    for trial in range(150):
        mine, theirs = sides_of(np.random.default_rng([9, trial]))
        found = compare(metric, mine, theirs, seed=trial, confidence=0.95, resamples=2000, margin=0.0)
        promoted += found.outcome is Outcome.BETTER
        by_percentile += percentile_low(metric, mine, theirs, trial) > 0
    assert promoted / 150 <= 0.05
    assert by_percentile / 150 >= 0.15, "quantiles of the differences promote too many of these"


def test_a_rare_loss_that_is_absent_is_counted() -> None:
    """99 of 100 users gain 0.01, and nobody loses: one user in a hundred may still lose all."""
    champion = np.random.default_rng(2).uniform(0.2, 0.8, 100)
    found = compare(NDCG, made_of(champion + 0.01), made_of(champion), seed=1, confidence=0.95, resamples=2000, margin=0.0)
    assert found.outcome is Outcome.INCONCLUSIVE and found.low < 0 < found.difference
    large = compare(NDCG, made_of(champion + 0.2), made_of(champion), seed=1, confidence=0.95, resamples=2000, margin=0.0)
    assert large.outcome is Outcome.BETTER


@pytest.mark.parametrize(
    ("units", "differing", "said"), [(99, 99, "too few units: 99, needed 100"), (500, 19, "19 of 500, needed 20")]
)
def test_a_gain_needs_units_that_differ(units: int, differing: int, said: str) -> None:
    champion = np.random.default_rng(2).uniform(0.2, 0.5, units)
    gain = np.where(np.arange(units) < differing, 0.4, 0.0)
    seen = context(made_of(champion + gain), made_of(champion))
    result = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10"}, "gates").check(seen)
    assert not result.passed and said in result.reason
    assert seen.comparisons[0].low > 0, "the interval alone would have passed it"
    assert (seen.comparisons[0].units, seen.comparisons[0].differing) == (units, differing)
    lost = compare(NDCG, made_of(champion - gain), made_of(champion), seed=1, confidence=0.95, resamples=2000, margin=0.0)
    assert lost.outcome is Outcome.WORSE, "a loss needs fewer"


def test_the_same_answers_are_no_promotion() -> None:
    settings = {"metric": "ndcg_at_10", "margin": 0.02, "accept": ["better", "not_worse"]}
    gate = GATES.parse({"kind": "beats_champion", **settings}, "gates")
    result = gate.check(context(CHAMPION, CHAMPION))
    assert not result.passed
    assert "too few units on which the two differ: 0 of 200, needed 20" in result.reason


def test_a_gain_must_reach_its_minimum() -> None:
    """A gain that is certain and small: `effect` alone asks for half of itself, `at_least` for what it says."""
    champion = np.random.default_rng(3).uniform(0.2, 0.8, 4000)
    challenger = champion + np.random.default_rng(4).normal(0.006, 0.02, 4000)
    passed = {}
    for settings in ({}, {"effect": 0.02}, {"effect": 0.02, "at_least": 0.0}, {"at_least": 0.005}, {"at_least": 0.01}):
        gate = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10", **settings}, "gates")
        result = gate.check(context(made_of(challenger), made_of(champion)))
        assert "better (difference +0.006" in result.reason
        passed[str(settings)] = result.passed
    assert list(passed.values()) == [True, False, True, True, False]
    assert result.reason.endswith("the gain is less than at_least 0.01")
    lenient = {"metric": "ndcg_at_10", "at_least": 0.01, "margin": 0.01, "accept": ["better", "not_worse"]}
    assert (
        GATES.parse({"kind": "beats_champion", **lenient}, "gates")
        .check(context(made_of(challenger), made_of(champion)))
        .passed
    )


def test_a_slice_may_lose_its_margin() -> None:
    questions = [Question(NDCG, WORSE, CHAMPION, margin, str(margin)) for margin in (0.0, 0.08)]
    strict, lenient = correct(compare_many(questions, seed=1, confidence=0.95, resamples=2000), 0.95)
    assert (strict.outcome, lenient.outcome) == (Outcome.WORSE, Outcome.INCONCLUSIVE)
    assert strict.challenger == WORSE.evaluation.metrics["ndcg_at_10"] and REF.key
