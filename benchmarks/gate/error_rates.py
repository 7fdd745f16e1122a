"""Error rates of the gate by simulation with known truth: the shipped `beats_champion` judges generated users.

Equal models on ratings clustered by user: each user suits one of the two models better, drawn at random with equal chances.
So the models are equally good, and the errors of all ratings of a user are correlated.
Nulls: equal models whose differences are symmetric, skewed, rare or clustered.
Power: lists whose true nDCG differs by an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Evaluation, GateResult, Role
from tasks.contracts.training import Candidate
from tasks.metrics import UNIT, WEIGHT, get_metric
from tasks.settings import ROOT
from tasks.stages.evaluation.gates.base import Context
from tasks.stages.evaluation.gates.champion import BeatsChampion
from tasks.stages.evaluation.paired import Answers, Question
from tasks.use_case import load_use_case

Pair = tuple[Answers, Answers]
RATERS, RATINGS = 200, 15  # users of a simulated holdout, and the mean number of ratings of each
SHARED = 10  # simulated holdouts with the same number of users, which therefore share their draws
EFFECTS, USERS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05), (200, 500, 1000, 2000, 4000)
WORKING_POINT = (1000, 0.02)  # users and true effect at which the power is to be at least 0.8
SIZES = (100, 200, 500, 1000, 4000)  # units of the holdouts of the nulls
BIG, RARE = 0.03, 0.005  # shares of the users who spend much, and of the rows on which a confident model is wrong
REF = DatasetRef(use_case="bench", layer="evaluation", partition="p", version="0" * 16, digest="0" * 64, rows={})


def shipped_gate(use_case: str) -> tuple[BeatsChampion, TaskKind]:
    """The `beats_champion` of a shipped use case, as configured, and its task."""
    case = load_use_case(use_case, ROOT / "conf" / "use_cases")
    return next(gate for gate in case.gates.checks if isinstance(gate, BeatsChampion)), case.task


def rate_of_equal_models(simulations: int, tick: Callable[[], None] = lambda: None) -> tuple[float, float]:
    """Share of equal challengers that `movie_rating`'s gate would promote: resampled by user, and by row beside it."""
    gate, task = shipped_gate("movie_rating")
    promoted = np.zeros(2)
    for start in range(0, simulations, SHARED):
        raters = [ratings(gate.metric, task, seed) for seed in range(start, min(start + SHARED, simulations))]
        promoted[0] += sum(result.passed for result in check_pairs(gate, task, [by_user for by_user, _ in raters], start))
        for place, (_, by_row) in enumerate(raters):  # the number of rows differs, so each needs draws of its own
            promoted[1] += sum(result.passed for result in check_pairs(gate, task, [by_row], start + place))
        tick()
    by_user, by_row = (promoted / simulations).tolist()
    return by_user, by_row


def power_table(
    simulations: int, tick: Callable[[], None] = lambda: None, *, sizes: Sequence[int] = USERS
) -> dict[str, dict[str, float]]:
    """Users -> true effect -> share of `purchase_propensity`'s gates that promoted."""
    gate, task = shipped_gate("purchase_propensity")
    table = {}
    for users in sizes:
        promoted = dict.fromkeys(EFFECTS, 0)
        for start in range(0, simulations, SHARED):
            seeds = range(start, min(start + SHARED, simulations))
            pairs = [(effect, lists(gate.metric, users, effect, seed)) for seed in seeds for effect in EFFECTS]
            for (effect, _), result in zip(pairs, check_pairs(gate, task, [pair for _, pair in pairs], start), strict=True):
                promoted[effect] += result.passed
            tick()
        table[str(users)] = {f"{effect:g}": count / simulations for effect, count in promoted.items()}
    return table


def null_table(
    simulations: int, tick: Callable[[], None] = lambda: None, *, sizes: Sequence[int] = SIZES
) -> dict[str, dict[str, float]]:
    """Null -> units -> share of `beats_champion`'s that promoted a challenger which is truly equal."""
    table: dict[str, dict[str, float]] = {}
    for name, (metric, task, make) in NULLS.items():
        gate = BeatsChampion(metric=metric)
        table[name] = {}
        for units in sizes:
            promoted = 0
            for start in range(0, simulations, SHARED):
                pairs = [make(metric, units, seed) for seed in range(start, min(start + SHARED, simulations))]
                promoted += sum(result.passed for result in check_pairs(gate, task, pairs, start))
                tick()
            table[name][str(units)] = promoted / simulations
    return table


def symmetric(metric: str, units: int, seed: int) -> Pair:
    """Lists of two equal models, of which half are the same."""
    return lists(metric, units, 0.0, seed)


def skewed(metric: str, units: int, seed: int) -> Pair:
    """The challenger earns a little more with most users and loses all that a few big spenders bring."""
    generator = np.random.default_rng([3, seed])
    is_big = generator.random(units) < BIG
    usual, big = np.exp(generator.normal(2, 0.8, units)), np.exp(generator.normal(4, 1, units))
    gain = BIG * np.exp(4.5) / (1 - BIG) * np.exp(generator.normal(-0.125, 0.5, units))  # the mean of `big` is exp(4.5)
    champion = usual + big * is_big
    return _sides(metric, np.where(is_big, usual, champion + gain), champion)


def rare(metric: str, units: int, seed: int) -> Pair:
    """An overconfident classifier beside a moderate one of the same log loss: the rare mistakes of the first cost ten each."""
    generator = np.random.default_rng([4, seed])
    label = (generator.random(units) >= RARE).astype(np.float64)
    sides = []
    for logit in (CONFIDENT, MODERATE):
        probability = 1 / (1 + np.exp(-(logit + generator.uniform(-0.5, 0.5, units))))
        parts, weights = get_metric(metric, TaskKind.CLASSIFICATION).parts(probability, label)
        side = _answers(metric, parts, weights)
        predictions = pd.DataFrame({c.ROW_ID: side.units[UNIT], c.PREDICTION: probability, c.LABEL: label})
        sides.append(replace(side, predictions=predictions))
    return sides[0], sides[1]


def few_differ(metric: str, units: int, seed: int) -> Pair:
    """Hits of two equal models that differ for one user in fifty."""
    generator = np.random.default_rng([5, seed])
    champion = (generator.random(units) < 0.5).astype(np.float64)
    differs = generator.random(units) < 0.04
    return _sides(metric, np.where(differs, generator.random(units) < 0.5, champion).astype(np.float64), champion)


def clustered(metric: str, units: int, seed: int) -> Pair:
    """Ratings of two equal models whose errors are correlated within each user."""
    return ratings(metric, TaskKind.RATING, seed, units)[0]


def _expected_loss(logit: float) -> float:
    """The mean log loss of `rare`, by the middle of a hundred parts of the uniform noise."""
    noisy = logit + (np.arange(100) + 0.5) / 100 - 0.5
    return float((RARE * np.logaddexp(0, noisy) + (1 - RARE) * np.logaddexp(0, -noisy)).mean())


def _moderate(confident: float) -> float:
    """The smaller logit with the same expected loss, by bisection below the calibrated one."""
    low, high = 0.0, float(np.log((1 - RARE) / RARE))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _expected_loss(middle) > _expected_loss(confident) else (low, middle)
    return (low + high) / 2


CONFIDENT = 10.0
MODERATE = _moderate(CONFIDENT)
Null = tuple[str, TaskKind, Callable[[str, int, int], Pair]]
NULLS: dict[str, Null] = {
    "symmetric": ("ndcg_at_10", TaskKind.PROPENSITY, symmetric),
    "skewed": ("revenue_at_10", TaskKind.PROPENSITY, skewed),
    "rare": ("log_loss", TaskKind.CLASSIFICATION, rare),
    "few_differ": ("hit_rate_at_10", TaskKind.PROPENSITY, few_differ),
    "clustered": ("rmse", TaskKind.RATING, clustered),
}


def check_pairs(gate: BeatsChampion, task: TaskKind, pairs: Sequence[Pair], seed: int) -> list[GateResult]:
    """The gate's result for each pair of challenger and champion, which have the same number of units and share their draws."""
    return check_contexts(gate, [make_context(task, pair, seed) for pair in pairs])


def check_contexts(gate: BeatsChampion, contexts: Sequence[Context]) -> list[GateResult]:
    """The gate's result in contexts of one seed whose answers have the same number of units; they share their draws."""
    first = contexts[0]
    wanted: dict[int, list[Question]] = {}
    for context in contexts:
        context.drawn = first.drawn
        if (draws := gate.draws(context)) is not None:
            wanted.setdefault(draws.resamples, []).extend(draws.questions)
    for resamples, questions in wanted.items():
        first.draw(questions, resamples, gate.group_by)
    return [gate.check(context) for context in contexts]


def make_context(task: TaskKind, pair: Pair, seed: int) -> Context:
    split = Split(as_of=date(2026, 1, 1), train=REF, validation=REF, holdout=REF)
    candidate = Candidate(
        use_case="bench",
        name="challenger",
        kind="x",
        run_id="r",
        model_uri="models:/m-0",
        manifest_digest="0" * 64,
        split=split,
        code_version="x",
        metrics={},
        fit_seconds=0.0,
    )
    return Context(
        task=task, candidate=candidate, challenger=pair[0], champion=pair[1], champion_version=1, baseline=None, seed=seed
    )


def ratings(metric: str, task: TaskKind, seed: int, raters: int = RATERS) -> tuple[Pair, Pair]:
    """Two equal models' errors, with users as units and with single ratings as units."""
    generator = np.random.default_rng([1, seed])
    counts = 1 + generator.negative_binomial(2, 2 / (RATINGS + 1), raters)
    user = np.repeat(np.arange(raters), counts)
    hard = generator.normal(0, 0.7, len(user))  # what makes this rating hard for both
    sides = []
    for _ in range(2):
        bias = generator.normal(0, 0.5, raters)[user]
        error = hard + bias + generator.normal(0, 0.3, len(user))
        sides.append(get_metric(metric, task).parts(error, np.zeros_like(error)))
    by_user = [_answers(metric, np.bincount(user, one).astype(np.float64), counts.astype(float)) for one in sides]
    by_row = [_answers(metric, one, np.ones(len(one))) for one in sides]
    return (by_user[0], by_user[1]), (by_row[0], by_row[1])


def lists(metric: str, users: int, effect: float, seed: int) -> Pair:
    """Lists of two models: two users in five get no hit from either; half of the lists are the same, the others differ.

    The paired difference has a standard deviation of 0.21 around the effect.
    """
    generator = np.random.default_rng([2, seed])
    champion, other = np.where(generator.random((2, users)) < 0.6, generator.beta(2, 4, (2, users)), 0.0)
    challenger = np.where(generator.random(users) < 0.5, champion, other) + effect
    return _sides(metric, challenger, champion)


def _sides(metric: str, challenger: Floats, champion: Floats) -> Pair:
    return _answers(metric, challenger, np.ones(len(challenger))), _answers(metric, champion, np.ones(len(champion)))


def _answers(metric: str, parts: Floats, weights: Floats) -> Answers:
    evaluation = Evaluation(
        subject=Role.CHALLENGER, name="x", model_uri="models:/m-0", holdout=REF, metrics={metric: 0.0}, units=REF
    )
    columns: dict[str, Any] = {UNIT: np.arange(len(parts)), metric: parts, metric + WEIGHT: weights}
    return Answers(evaluation, pd.DataFrame(columns), pd.DataFrame())
