"""The best ranking that generated invoices allow, for a model that knows the generator and of a customer only their invoices.

The truth itself cannot be reached: it knows the wishes of customers who bought once, or never. The Bayesian estimate is the
posterior mean: over all customers that the generator could make, weighted by how well they explain the invoices, the share
that will buy an item. No ranking of the same invoices is better on average. The posterior comes from Markov chains (Metropolis
et al. 1953), one for each customer, over the taste (normal) and the whims (Gumbel, one for each item slot).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks import columns as c
from tasks.stages.ingestion.generator import DIMENSIONS, HABIT_SHARE, STAPLES, TASTE_STRENGTH, GeneratedTruth

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
BLOCK_DAYS = 45  # the season counts as constant for so long
LINES = 16.0  # about as many as a customer buys in the window
LIFT = 2.5  # added to half of the proposed whims, because those of staples are high
SHARES = 1.0 / np.arange(1.0, STAPLES + 1) / (1.0 / np.arange(1.0, STAPLES + 1)).sum()


Lists = dict[str, list[str]]


def best_lists(
    truth: GeneratedTruth,
    rows: pd.DataFrame,
    users: list[str],
    cut: date,
    target: date,
    *,
    k: int = 10,
    steps: int = 30_000,
    seed: int = 7,
) -> tuple[Lists, Lists]:
    """User -> the `k` items that are most probably bought on the target day, given the purchases before `cut`.

    Returned twice, from half of the samples and from all of them, which shows the effect of more samples.
    """
    past = rows[(rows["day"] < pd.Timestamp(cut)) & rows[c.USER_ID].isin(users)]
    first = past["day"].min().date()
    known = sorted(set(past[c.USER_ID]))
    days = [first + timedelta(days=start + BLOCK_DAYS // 2) for start in range(0, (cut - first).days, BLOCK_DAYS)]
    scenes = [truth._scenes(day)[0][1] for day in [*days, target]]
    law = Law(
        np.stack([[item.latent for item in scene.items] for scene in scenes]),
        np.stack([[_base(item, day) for item in scene.items] for scene, day in zip(scenes, [*days, target], strict=True)]),
    )
    baskets = Baskets.of(past, known, first, truth)
    chains = Chains(law, baskets, len(known), np.random.default_rng(seed))
    chains.run(steps // 4, adapts_step=True)  # warm-up
    half = chains.run(steps * 3 // 8)
    whole = (half + chains.run(steps * 3 // 8)) / 2
    codes = np.array([item.code for item in scenes[-1].items])
    unknown = Chains(law, Baskets.of(past[:0], ["unknown"] * 2000, first, truth), 2000, np.random.default_rng(seed)).chance()
    popular = codes[np.lexsort((codes, -unknown))[:k]].tolist()

    def best(probability: Floats) -> Lists:
        order = np.lexsort((np.broadcast_to(codes, probability.shape), -probability), axis=1)[:, :k]
        lists = {user: codes[row].tolist() for user, row in zip(known, order, strict=True)}
        return {user: lists.get(user, popular) for user in users}

    return best(half), best(whole)


@dataclass(frozen=True)
class Law:
    """What is the same for every customer, for each block of days and then the target day: (blocks, slots, ...)."""

    latent: Floats
    base: Floats

    def appeal(self, tastes: Floats) -> Floats:
        """(customers, blocks, slots)"""
        blocks, slots, _ = self.latent.shape
        found = TASTE_STRENGTH * tastes @ self.latent.reshape(blocks * slots, -1).T
        return (found.reshape(-1, blocks, slots) + self.base).astype(np.float32)


@dataclass(frozen=True)
class Baskets:
    """All purchased lines in their order. Each item is drawn from the items that its invoice does not hold yet."""

    customer: Ints
    block: Ints
    slot: Ints
    first: Ints  # of each line, the place of the first line of its invoice
    bought: list[Ints]  # of each customer

    @classmethod
    def of(cls, past: pd.DataFrame, users: list[str], first: date, truth: GeneratedTruth) -> Baskets:
        lines = past.drop_duplicates([c.EVENT_ID, c.ITEM_ID]).sort_values([c.EVENT_ID], kind="stable")
        days = sorted(lines["day"].unique())
        slots = {day: {item: slot for slot, item in enumerate(truth.items(day.date()))} for day in days}
        slot = np.array([slots[day][item] for day, item in zip(lines["day"], lines[c.ITEM_ID], strict=True)], dtype=np.int64)
        customer = pd.Index(users if lines.size else []).get_indexer(pd.Index(lines[c.USER_ID])).astype(np.int64)
        block = ((lines["day"] - pd.Timestamp(first)).dt.days // BLOCK_DAYS).to_numpy(np.int64)
        event = pd.factorize(lines[c.EVENT_ID])[0]
        first_of = np.searchsorted(event, event)  # events are numbered in the order of the lines
        return cls(customer, block, slot, first_of, [np.unique(slot[customer == user]) for user in range(len(users))])


class Chains:
    """One state a customer: taste, whims, and how well they explain the invoices."""

    def __init__(self, law: Law, baskets: Baskets, customers: int, random: np.random.Generator) -> None:
        self.law, self.baskets, self.random, self.size = law, baskets, random, customers
        self.taste = random.normal(size=(customers, DIMENSIONS))
        self.whims = random.gumbel(size=(customers, law.base.shape[1])).astype(np.float32)
        np.add.at(self.whims, (baskets.customer, baskets.slot), np.float32(0.5))  # a start nearer to what will come out
        self.step = np.full(customers, 0.3)
        self.appeal = law.appeal(self.taste)
        self.liked = self.like(self.appeal)
        self.fits = self.explain(self.probabilities(self.appeal, self.liked, self.whims))
        self.proposed = self.proposals()

    def like(self, appeal: Floats) -> Floats:
        """(customers, blocks, slots): the probability of what is bought because it is liked."""
        found = np.exp(appeal)
        found *= (1.0 - HABIT_SHARE) / found.sum(axis=-1, keepdims=True)
        return found

    def probabilities(self, appeal: Floats, liked: Floats, whims: Floats) -> Floats:
        """(customers, blocks, slots) of what is liked and what is habit together."""
        wish, found = appeal + whims[:, None, :], liked.copy()
        staples = np.argpartition(wish, -STAPLES, axis=-1)[..., -STAPLES:]
        order = np.argsort(-np.take_along_axis(wish, staples, -1), axis=-1)
        staples = np.take_along_axis(staples, order, -1)
        shares = (HABIT_SHARE * SHARES).astype(found.dtype)
        np.put_along_axis(found, staples, np.take_along_axis(found, staples, -1) + shares, -1)
        return found

    def explain(self, probabilities: Floats) -> Floats:
        """The logarithm of the probability of each customer's lines."""
        lines = self.baskets
        each = probabilities[lines.customer, lines.block, lines.slot].astype(np.float64)
        before = np.cumsum(each) - each
        left = 1.0 - (before - before[lines.first])
        return np.asarray(np.bincount(lines.customer, np.log(each) - np.log(np.maximum(left, 1e-9)), self.size), np.float64)

    def proposals(self) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Taste, whims and the logarithm of Hastings' ratio, in turn: a step of taste, a new whim, two whims exchanged."""
        rows = np.arange(self.size)
        while True:
            taste = self.taste + self.step[:, None] * self.random.normal(size=self.taste.shape)
            yield taste, self.whims, 0.5 * (self.taste**2 - taste**2).sum(axis=1)
            for _ in range(2):
                slot, whims = self._slots(0.7), self.whims.copy()
                old = whims[rows, slot]
                new = self.random.gumbel(size=self.size) + LIFT * (self.random.random(self.size) < 0.5)
                whims[rows, slot] = new
                yield self.taste, whims, _log_gumbel(new) - _log_gumbel(old) + _log_proposed(old) - _log_proposed(new)
                one, other, whims = self._slots(1.0), self._slots(0.7), self.whims.copy()
                whims[rows, one], whims[rows, other] = self.whims[rows, other], self.whims[rows, one]
                yield self.taste, whims, np.zeros(self.size)

    def _slots(self, share: float) -> Ints:
        """A slot for each customer: with probability `share` one that they bought, else any."""
        slots = self.law.base.shape[1]
        drawn = self.random.integers(0, slots, self.size)
        ours = [
            mine[int(at * len(mine))] if len(mine) else any_
            for mine, at, any_ in zip(self.baskets.bought, self.random.random(self.size), drawn, strict=True)
        ]
        return np.where(self.random.random(self.size) < share, ours, drawn)

    def run(self, steps: int, *, adapts_step: bool = False) -> Floats:
        """Mean over so many steps of the chance that an item is bought: (customers, slots)."""
        total, kept = np.zeros(self.whims.shape), 0
        for number in range(steps):
            taste, whims, ratio = next(self.proposed)
            moves_taste = whims is self.whims
            appeal = self.law.appeal(taste) if moves_taste else self.appeal
            liked = self.like(appeal) if moves_taste else self.liked
            explained = self.explain(self.probabilities(appeal, liked, whims))
            accepted = np.log(self.random.random(self.size)) < explained - self.fits + ratio
            self.fits = np.where(accepted, explained, self.fits)
            if moves_taste:
                self.taste = np.where(accepted[:, None], taste, self.taste)
                self.appeal[accepted], self.liked[accepted] = appeal[accepted], liked[accepted]
                if adapts_step:  # towards an acceptance rate of a quarter
                    self.step *= np.exp(0.1 * (accepted - 0.25))
            else:
                self.whims = np.where(accepted[:, None], whims, self.whims)
            if number % 5 == 0:
                total += 1.0 - np.exp(-LINES * self.purchase_probabilities())
                kept += 1
        return total / kept

    def purchase_probabilities(self) -> Floats:
        """(customers, slots): the probability of each item on the target day, in the current state of the chains."""
        return self.probabilities(self.appeal[:, -1:], self.liked[:, -1:], self.whims)[:, 0]

    def chance(self) -> Floats:
        """(slots,): the same for an unknown customer, the mean over the customers that the generator could make."""
        return np.asarray((1.0 - np.exp(-LINES * self.purchase_probabilities())).mean(axis=0))


def _base(item: Any, day: date) -> float:
    """The part of an item's appeal on a day that is the same for every customer."""
    return float(item.popularity + 0.4 * math.cos((day.timetuple().tm_yday - item.peak) * 2 * math.pi / 365.25))


def _log_gumbel(value: Floats) -> Floats:
    return -value - np.exp(-value)


def _log_proposed(value: Floats) -> Floats:
    return np.logaddexp(_log_gumbel(value), _log_gumbel(value - LIFT))
