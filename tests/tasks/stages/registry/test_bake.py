"""Which served figures roll a new champion back, and which do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.io.endpoint import ServedFigures
from tasks.models.smoke_test import count_scores
from tasks.stages.registry import BakePolicy
from tasks.stages.registry.bake import judge_bake, quantile

POLICY = BakePolicy(max_error_share=0.02, max_latency_p99_ms=100.0, max_score_shift=1.0, min_answers=100)
FAST = ((0.01, 990), (0.1, 1000), (math.inf, 1000))


def scores(mean: float, count: int = 1000, seed: int = 0) -> tuple[int, ...]:
    """Counts of so many scores around a mean."""
    return tuple(count_scores(np.random.default_rng(seed).normal(mean, 0.1, count)).tolist())


def test_a_champion_within_the_limits_has_no_faults() -> None:
    seen = ServedFigures(answered=1000, failed=20, latency=FAST, scores=scores(0.5, seed=1))
    faults, summary = judge_bake(POLICY, seen, scores(0.5))
    assert faults == ()
    assert summary.startswith("1020 requests, 1.96% failed, p99 10 ms, score shift 0.0")


def test_each_violated_limit_is_a_fault() -> None:
    calm = {"answered": 1000, "failed": 0, "latency": FAST, "scores": scores(0.5)}
    for broken, why in (
        ({"failed": 21}, "2.06% of 1021 requests failed, at most 2.00% may"),
        ({"latency": ((0.1, 989), (0.25, 1000), (math.inf, 1000))}, "p99 is 114 ms, at most 100 ms may be"),
        ({"latency": ((0.1, 989), (0.25, 989), (math.inf, 1000))}, "p99 is inf ms, at most 100 ms may be"),
        ({"scores": scores(4.0)}, "the scores shifted by a PSI of"),
    ):
        (fault,), _ = judge_bake(POLICY, ServedFigures(**{**calm, **broken}), scores(0.5))  # type: ignore[arg-type]
        assert fault.startswith(why)


def test_few_answers_and_few_scores_are_not_judged() -> None:
    assert judge_bake(POLICY, ServedFigures(answered=0, failed=99), scores(0.5))[0] == ()
    assert "too few to judge" in judge_bake(POLICY, ServedFigures(failed=99), ())[1]
    assert judge_bake(POLICY, ServedFigures(failed=100), ())[0], "enough requests, none answered"
    assert judge_bake(POLICY, ServedFigures(1000, 0, FAST, scores(4.0, 99)), scores(0.5))[0] == ()
    assert judge_bake(POLICY, ServedFigures(1000, 0, FAST, scores(4.0)), scores(0.5, 10))[0] == (), "too few reference scores"


def test_scores_shift_only_against_both_references() -> None:
    """A difference to the scores of the rehearsal alone, or of the former champion alone, is no fault."""
    seen = ServedFigures(1000, 0, FAST, scores(0.5))
    assert judge_bake(POLICY, seen, scores(4.0), scores(0.5, seed=1))[0] == ()
    assert judge_bake(POLICY, seen, scores(0.5, seed=1), scores(4.0))[0] == ()
    assert judge_bake(POLICY, seen, scores(4.0), scores(8.0))[0] != ()


def test_the_quantile_is_that_of_prometheus() -> None:
    cumulative = ((0.1, 50), (0.2, 100), (math.inf, 100))
    assert quantile(cumulative, 0.5) == pytest.approx(0.1)
    assert quantile(cumulative, 0.75) == pytest.approx(0.15)
    assert quantile(((0.1, 0), (0.2, 10), (math.inf, 20)), 0.99) == math.inf
