"""Every gate passes its good contexts and refuses its broken twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tasks.contracts.base import TaskKind
from tasks.contracts.judging import MIN_UNITS, MIN_UNITS_OVER_BASELINE, Outcome
from tasks.errors import ConfigurationError, SnapshotError
from tasks.metrics import get_metric
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import Context
from tasks.stages.evaluation.paired import compare, conclude
from tests.tasks.stages.evaluation.contexts import BASELINE, BETTER, CHAMPION, answers, context, rows
from tests.tasks.stages.evaluation.gate_examples import find_gate_examples

EXAMPLES = find_gate_examples()
PAIRS = [(kind, *pair) for kind, examples in EXAMPLES.items() for pair in examples.make_pairs()]


@pytest.mark.parametrize("kind", GATES.kinds)
def test_every_gate_has_examples(kind: str) -> None:
    assert kind in EXAMPLES, f"add tests/tasks/stages/evaluation/gates/test_{kind}.py, see CONTRIBUTING.md, Add a gate"
    assert EXAMPLES[kind].make_pairs() and EXAMPLES[kind].mutations and EXAMPLES[kind].entries


@pytest.mark.parametrize(("kind", "settings", "good", "broken"), PAIRS)
def test_a_gate_passes_the_good_and_refuses_the_broken_context(
    kind: str, settings: dict[str, Any], good: Context, broken: Context
) -> None:
    gate = GATES.parse({"kind": kind, **settings}, "gates.checks[0]")
    passed, refused = gate.check(good), gate.check(broken)
    assert passed.passed, passed.reason
    assert not refused.passed
    assert refused.reason
    assert all(np.isfinite(list(refused.figures.values())))


def test_reasons_state_the_figures() -> None:
    gate = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10"}, "gates")
    result = gate.check(context(BETTER, CHAMPION))
    assert "of version 3: better (difference +0.0" in result.reason
    assert "95% interval +0.0" in result.reason
    assert result.figures["low"] < result.figures["difference"] < result.figures["high"]


def test_few_users_conclude_nothing() -> None:
    few = MIN_UNITS - 1
    gate = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10"}, "gates")
    challenger, champion = answers("challenger", "als", 0.9, units=few), answers("champion", "version_3", 0.1, units=few)
    result = gate.check(context(challenger, champion))
    assert not result.passed
    assert f"too few units: {few}, needed {MIN_UNITS}" in result.reason
    small = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10", "min_units": 50}, "gates")
    assert small.check(context(challenger, champion)).passed, "a small shop may say so"


@pytest.mark.parametrize(("units", "passes"), [(MIN_UNITS_OVER_BASELINE, True), (MIN_UNITS_OVER_BASELINE - 1, False)])
def test_a_first_champion_needs_fewer_units(units: int, passes: bool) -> None:
    gate = GATES.parse({"kind": "minimum_metric", "metric": "ndcg_at_10", "over_baseline": "popularity"}, "gates")
    challenger, baseline = answers("challenger", "als", 0.7, units=units), answers("baseline", "popularity", 0.2, units=units)
    result = gate.check(context(challenger, None, baseline))
    assert result.passed is passes
    assert ("too few units: 49, needed 50" in result.reason) is not passes


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.01, 0.02, 0.0, Outcome.BETTER),
        (-0.02, -0.01, 0.0, Outcome.WORSE),
        (-0.01, 0.02, 0.0, Outcome.INCONCLUSIVE),
        (-0.01, 0.02, 0.05, Outcome.NOT_WORSE),
        (-0.06, 0.02, 0.05, Outcome.INCONCLUSIVE),
        (0.0, 0.0, 0.0, Outcome.INCONCLUSIVE),
    ],
)
def test_the_outcome_of_an_interval(low: float, high: float, margin: float, expected: Outcome) -> None:
    assert conclude(low, high, margin, units=100, differing=20) is expected
    if expected is not Outcome.WORSE:
        assert conclude(low, high, margin, units=99, differing=20) is Outcome.INCONCLUSIVE
        assert conclude(low, high, margin, units=100, differing=19) is Outcome.INCONCLUSIVE
    assert conclude(low, high, margin, units=100, differing=5) is Outcome.INCONCLUSIVE
    assert conclude(low, high, margin, units=19, differing=19) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "beats_champion", "metric": "ndcg_at_10", "accept": ["worse"]}, "refuses nothing"),
        ({"kind": "beats_champion", "metric": "ndcg_at_10", "accept": ["not_worse"]}, "needs a margin"),
        ({"kind": "beats_champion", "metric": "ndcg_at_10", "accept": []}, "at least 1"),
        ({"kind": "beats_champion", "metric": "ndcg_at_10", "resamples": 100}, "2000"),
        ({"kind": "beats_champion", "metric": "ndcg_at_10", "min_units": 49}, "50"),
        ({"kind": "minimum_metric", "metric": "ndcg_at_10"}, "at_least, at_most or over_baseline"),
        ({"kind": "beats_all"}, "allowed: beats_champion, calibration, catalog_coverage, freshness"),
        ({"kind": "prediction_sanity", "speed": 1}, "unknown key; allowed here"),
        ({"kind": "prediction_sanity", "between": [6, 0]}, "the lowest and the highest"),
    ],
)
def test_wrong_settings_are_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        GATES.parse(entry, "shop.yaml: gates.checks[0]")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "beats_champion", "metric": "recall_at_10"}, "'recall_at_10' is not evaluated"),
        ({"kind": "beats_champion", "metric": "catalog_coverage_at_10"}, "cannot be compared"),
        ({"kind": "beats_champion", "metric": "calibration_error"}, "cannot be compared"),
        ({"kind": "minimum_metric", "metric": "ndcg_at_10", "over_baseline": "bias"}, "no candidate 'bias'; there are: als"),
    ],
)
def test_impossible_gates_are_refused_with_the_use_case(entry: dict[str, Any], message: str) -> None:
    gate = GATES.parse(entry, "gates")
    with pytest.raises(ConfigurationError, match=message):
        gate.check_fits(TaskKind.PROPENSITY, ("ndcg_at_10", "catalog_coverage_at_10", "calibration_error"), ("als",))
    GATES.parse({"kind": "minimum_metric", "metric": "catalog_coverage_at_10", "at_least": 0.1}, "gates").check_fits(
        TaskKind.PROPENSITY, ("ndcg_at_10", "catalog_coverage_at_10", "calibration_error"), ("als",)
    )


def test_other_units_cannot_be_compared() -> None:
    metric = get_metric("ndcg_at_10", TaskKind.PROPENSITY)
    with pytest.raises(SnapshotError, match="evaluate both on one holdout"):
        compare(
            metric,
            BETTER,
            answers("champion", "version_3", 0.4, units=100),
            seed=1,
            confidence=0.95,
            resamples=2000,
            margin=0.0,
        )


def test_the_same_seed_gives_the_same_interval() -> None:
    metric = get_metric("ndcg_at_10", TaskKind.PROPENSITY)
    found = [compare(metric, BETTER, BASELINE, seed=seed, confidence=0.95, resamples=2000, margin=0.0) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_equal_models_are_seldom_called_better() -> None:
    """300 pairs of equal models, 120 users each: 5 % intervals are wrong in about 5 %, half of them on the good side."""
    metric = get_metric("ndcg_at_10", TaskKind.PROPENSITY)
    outcomes: dict[float, list[Outcome]] = {0.95: [], 0.2: []}
    for trial in range(300):
        sides = [answers("challenger", "als", 0.4, seed=1000 + 2 * trial + side, units=120) for side in (0, 1)]
        for confidence, seen in outcomes.items():
            seen.append(compare(metric, *sides, seed=trial, confidence=confidence, resamples=2000, margin=0.0).outcome)
    assert outcomes[0.95].count(Outcome.BETTER) / 300 <= 0.055
    assert outcomes[0.95].count(Outcome.WORSE) / 300 <= 0.055
    assert outcomes[0.2].count(Outcome.BETTER) / 300 > 0.1, "the broken twin: narrow intervals err measurably"


def test_equal_classifiers_are_seldom_called_better() -> None:
    """The same for ROC-AUC, which is resampled by rows: 200 pairs of equally noisy models, 150 rows each."""
    metric = get_metric("roc_auc", TaskKind.CLASSIFICATION)
    outcomes = []
    for trial in range(200):
        generator = np.random.default_rng([9, trial])
        signal = generator.normal(size=150)
        label = (generator.random(150) < 1 / (1 + np.exp(-1.5 * signal))).astype(float)
        sides = [rows("model", signal + 0.7 * generator.normal(size=150), label) for _ in (0, 1)]
        outcomes.append(compare(metric, *sides, seed=trial, confidence=0.95, resamples=2000, margin=0.0).outcome)
    assert outcomes.count(Outcome.BETTER) / 200 <= 0.06
    assert outcomes.count(Outcome.WORSE) / 200 <= 0.06
