"""Chains of challengers that each lose a little: how far an anchor lets them go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.judging import Comparison
from tasks.models.base import Examples, FeatureTables
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import Context, Gate
from tasks.stages.evaluation.paired import Answers
from tasks.stages.registry.anchor import Gains, rank_losses
from tests.tasks.stages.evaluation.contexts import CHAMPION, answers, context

USERS = 1200
IS_NEW = np.arange(USERS) >= USERS - 300


def holdout() -> Examples:
    known = [f"u{row:04d}" for row in np.flatnonzero(~IS_NEW)]
    return Examples(
        features=FeatureTables(
            users=pd.DataFrame({c.USER_ID: known}),
            items=pd.DataFrame({c.ITEM_ID: ["i"], "item_age_days": 200.0}),
            pairs=pd.DataFrame({c.USER_ID: known, c.ITEM_ID: "i", "pair_orders": 1.0}),
        ),
        labels=pd.DataFrame({c.USER_ID: [f"u{row:04d}" for row in range(USERS)], c.ITEM_ID: "i", c.LABEL: 1.0}),
    )


def model(known: float, new: float, seed: int) -> Answers:
    """The answers of one model on one holdout: true means of known and of new users, and a noise of its own."""
    made = answers("challenger", "als", 0.5, seed=seed, units=USERS)
    noise = np.random.default_rng([6, seed]).normal(0, 0.1, USERS)
    return Answers(made.evaluation, made.units.assign(ndcg_at_10=np.where(IS_NEW, new, known) + noise), made.predictions)


def promote_chain(gates: list[Gate], step: tuple[float, float], rounds: int, *, has_anchor: bool) -> tuple[int, float, float]:
    """How many of the challengers are promoted, each better by `step` than the champion; and the last champion's means."""
    reigning, gains = [(0.4, 0.4)], list[Gains]()
    for place in range(rounds):
        offered = (reigning[-1][0] + step[0], reigning[-1][1] + step[1])
        mine, theirs = (model(*one, seed=3 * place + side) for side, one in enumerate((offered, reigning[-1])))
        order = rank_losses(gains)
        anchor = model(*reigning[order[0]], seed=3 * place + 2) if has_anchor and order else None
        seen: Context = replace(
            context(mine, theirs, read_holdout=holdout), anchor=anchor, anchor_version=1 if anchor else None
        )
        results = [gate.check(seen) for gate in gates]
        if all(one.passed for one in results):
            found: list[Comparison] = [*seen.comparisons, *(x for one in results for x in one.comparisons)]
            gains.append({(x.slice, x.metric): x.difference / x.champion for x in found if x.opponent.value == "champion"})
            reigning.append(offered)
    return len(reigning) - 1, *reigning[-1]


def parse(*entries: dict[str, Any]) -> list[Gate]:
    return [GATES.parse(one, "gates") for one in entries]


BEATS = {"kind": "beats_champion", "metric": "ndcg_at_10"}
SLICES = {"kind": "no_slice_regression", "metrics": {"ndcg_at_10": 0.02}, "slices": ["new_users"]}


def test_a_slice_does_not_erode() -> None:
    """Known users gain 0.02 and new users lose 0.015 each time, within the margin of 0.02."""
    gates = parse(BEATS, SLICES)
    promoted, _, new = promote_chain(gates, (0.02, -0.015), 10, has_anchor=False)
    assert promoted >= 6 and new < 0.32, "without an anchor it goes on and on"
    promoted, _, new = promote_chain(gates, (0.02, -0.015), 10, has_anchor=True)
    assert promoted <= 4 and new >= 0.4 - 0.06


def test_not_worse_does_not_erode() -> None:
    """Each challenger is worse by 0.004, within a margin of 0.02."""
    gates = parse({**BEATS, "margin": 0.02, "accept": ["better", "not_worse"]})
    promoted, known, _ = promote_chain(gates, (-0.004, -0.004), 15, has_anchor=False)
    assert promoted >= 10 and known <= 0.36, "without an anchor it goes on and on"
    promoted, known, _ = promote_chain(gates, (-0.004, -0.004), 15, has_anchor=True)
    assert promoted <= 5 and known >= 0.38


def test_an_honest_chain_is_not_held_back() -> None:
    gates = parse(BEATS, SLICES)
    assert promote_chain(gates, (0.03, 0.03), 6, has_anchor=True)[0] == 6


def test_the_reason_names_the_former_champion() -> None:
    worse = replace(context(model(0.42, 0.42, 1), model(0.40, 0.40, 2)), anchor=model(0.5, 0.5, 3), anchor_version=7)
    result = parse(BEATS)[0].check(worse)
    assert not result.passed
    assert "better (difference" in result.reason and "it loses against ndcg_at_10" in result.reason
    assert "of version 7, a former champion: worse" in result.reason
    assert CHAMPION.evaluation.name == "version_3"
