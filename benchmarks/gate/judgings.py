"""Many judgings of equal challengers: how often one is promoted, by the way in which alpha is spent.

A year of judgings whose holdouts overlap. In the simulation each challenger has a normal deviation on each day, half of which
it shares with the others. The shipped gate then judges generated lists with the method that was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from statistics import NormalDist

import numpy as np

from benchmarks.gate.error_rates import check_contexts, lists, make_context, shipped_gate
from tasks.contracts.judging import JudgedHoldout, Outcome, PastJudging
from tasks.stages.evaluation.alpha import spend
from tasks.use_case import GatesSpec

HOLDOUT_DAYS, WEEKS, USERS = 14, 52, 500
GAIN, EVERY = 4.0, 13  # standard errors of a challenger that is better, one in so many
ALONE = 0.025
PER_YEAR = float(GatesSpec.model_fields["false_promotions_per_year"].default)
Method = Callable[[Sequence[PastJudging], JudgedHoldout], float]


def alone(past: Sequence[PastJudging], holdout: JudgedHoldout) -> float:
    """Each judging as if it were the only one."""
    return ALONE


def divided(past: Sequence[PastJudging], holdout: JudgedHoldout) -> float:
    """Alpha divided by the judgings of these days."""
    return ALONE / spend(holdout, past, PER_YEAR, has_champion=True).times


def lord(past: Sequence[PastJudging], holdout: JudgedHoldout) -> float:
    """LORD++ (Ramdas and others 2017) at a level of 0.05, by the number of judgings."""
    level, wealth, place = 0.05, 0.025, len(past) + 1
    found = [at for at, one in enumerate(past, start=1) if one.found_better]
    alpha = _gamma(place) * wealth
    if found:
        alpha += (level - wealth) * _gamma(place - found[0]) + level * sum(_gamma(place - one) for one in found[1:])
    return alpha


def _gamma(place: int) -> float:
    return float(0.0722 * np.log(max(place, 2)) / (place * np.exp(np.sqrt(np.log(place)))))


def investing(past: Sequence[PastJudging], holdout: JudgedHoldout) -> float:
    """Half of the wealth, which grows with days that never judged: what the jobs do."""
    return spend(holdout, past, PER_YEAR, has_champion=True).alpha


METHODS: dict[str, Method] = {"alone": alone, "divided": divided, "lord": lord, "investing": investing}


def method_table(years: int, tick: Callable[[], None] = lambda: None) -> dict[str, dict[str, float]]:
    """Method -> false promotions a year, weekly and daily; share of the better challengers that are promoted, weekly."""
    table: dict[str, dict[str, float]] = {}
    for name, method in METHODS.items():
        rates = {"weekly": 0.0, "daily": 0.0, "one_holdout": 0.0, "found": 0.0}
        for seed in range(years):
            rates["weekly"] += sum(_year(method, seed, 7, WEEKS, 0.0)) / years
            rates["daily"] += sum(_year(method, seed, 1, 365, 0.0)) / years
            rates["one_holdout"] += sum(_year(method, seed, 0, 20, 0.0)) / years
            better = list(_year(method, seed, 7, WEEKS, GAIN))[EVERY - 1 :: EVERY]
            rates["found"] += sum(better) / len(better) / years
            tick()
        table[name] = rates
    return table


def _year(method: Method, seed: int, step: int, judgings: int, gain: float) -> Iterator[bool]:
    """Whether each challenger of a year is promoted; each `EVERY`th is better by `gain` standard errors."""
    generator = np.random.default_rng([8, seed])
    shared = generator.normal(size=HOLDOUT_DAYS + step * judgings)
    past: list[PastJudging] = []
    for place, holdout in enumerate(_holdouts(step, judgings)):
        own = generator.normal(size=HOLDOUT_DAYS)
        days = (own + shared[place * step : place * step + HOLDOUT_DAYS]) / np.sqrt(2)
        z = days.sum() / np.sqrt(HOLDOUT_DAYS) + gain * (place % EVERY == EVERY - 1)
        alpha = method(past, holdout)
        p = 1 - NormalDist().cdf(z)
        found = bool(p <= alpha)
        past.append(PastJudging(holdout=holdout, alpha=alpha, found_better=found, p_better=p))
        yield found


def _holdouts(step: int, judgings: int) -> Iterator[JudgedHoldout]:
    for place in range(judgings):
        first = date(2025, 1, 1) + timedelta(days=place * step)
        end = first + timedelta(days=HOLDOUT_DAYS)
        yield JudgedHoldout(as_of=end, first_day=first, end=end)


def false_promotions_a_year(seeds: int, judgings: int = WEEKS, tick: Callable[[], None] = lambda: None) -> float:
    """Promotions of equal challengers by the shipped gate of `purchase_propensity`, one a week for a year; mean over seeds."""
    gate, task = shipped_gate("purchase_propensity")
    past: list[list[PastJudging]] = [[] for _ in range(seeds)]
    promoted = 0
    for place, holdout in enumerate(_holdouts(7, judgings)):
        spendings = [spend(holdout, one, PER_YEAR, has_champion=True) for one in past]
        pairs = [lists(gate.metric, USERS, 0.0, 1000 * seed + place) for seed in range(seeds)]
        contexts = [replace(make_context(task, pair, place), spending=one) for pair, one in zip(pairs, spendings, strict=True)]
        results = check_contexts(gate, contexts)
        for earlier, context, spending in zip(past, contexts, spendings, strict=True):
            (found,) = context.comparisons
            is_better = found.outcome is Outcome.BETTER
            earlier.append(PastJudging(holdout=holdout, alpha=spending.alpha, found_better=is_better, p_better=found.p_better))
        promoted += sum(result.passed for result in results)
        tick()
    return promoted / seeds
