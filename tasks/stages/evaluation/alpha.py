"""How much chance of a false promotion one judging may spend, so that many judgings together do not promote noise.

Every judging of a challenger that is no better promotes it with its alpha. So a use case has a wealth of alpha, of which each
judging spends half, and which grows with every day of labels that never judged before: generalised alpha-investing (Foster and
Stine 2008, Aharoni and Rosset 2014) with a spending rate by information (Lan and DeMets 1983). A gain that is found pays the
initial wealth back, as a discovery does there. A challenger that turns out to be no match costs nothing, and each other one
more in proportion (the discarding of ADDIS, Tian and Ramdas 2019). The expected number of false promotions is at most what was
paid, whatever the holdouts share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

from tasks.contracts.judging import JudgedHoldout, PastJudging, Spending

START = 0.025  # the wealth of a use case that never judged, and the reward of a gain that was found
MOST = 0.05  # of wealth: a long pause does not pay for many judgings of one holdout
NO_MATCH = 0.8  # p-values above it are of challengers that are discarded: they cost nothing
SAMPLE = 256  # rows of a holdout without days whose ids are kept
YEAR = 365.25


def sample_rows(ids: Iterable[str]) -> tuple[str, ...]:
    """The smallest hashes of some ids (Broder 1997): the same ids are kept from every table that holds them."""
    return tuple(sorted(hashlib.sha256(one.encode()).hexdigest()[:12] for one in ids)[:SAMPLE])


def spend(holdout: JudgedHoldout, past: Sequence[PastJudging], per_year: float, *, has_champion: bool) -> Spending:
    """What the next judging may spend.

    Parameters
    ----------
    past : every earlier judging of the use case, oldest first.
    per_year : false promotions that a year of new labels pays for.
    has_champion : without one nothing is compared, and nothing is spent.
    """
    wealth, seen = START, _Seen()
    for one in past:
        wealth = max(0.0, min(MOST, wealth + seen.earn(one.holdout, per_year)) - cost_of(one))
        if one.found_better:
            wealth = min(MOST, wealth + START)
    new_share = seen.new_share(holdout)
    wealth = min(MOST, wealth + seen.earn(holdout, per_year))
    alpha = wealth / 2 if has_champion else 0.0
    return Spending(
        times=1 + sum(_overlap(holdout, one.holdout) for one in past),
        alpha=alpha,
        spent=sum(map(cost_of, past)) + alpha / NO_MATCH,
        wealth=wealth - alpha / NO_MATCH,
        new_share=new_share,
    )


def cost_of(judging: PastJudging) -> float:
    """What a judging has paid. Of equal challengers as many are above `NO_MATCH` as makes the mean its alpha."""
    is_discarded = judging.p_better is not None and judging.p_better > NO_MATCH
    return 0.0 if is_discarded else judging.alpha / NO_MATCH


@dataclass
class _Seen:
    """The days and rows that judged."""

    days: set[date] = field(default_factory=set)
    rows: set[str] = field(default_factory=set)
    complete: str = "g"  # hashes up to this one: every row that judged is in `rows`
    as_of: date | None = None

    def earn(self, holdout: JudgedHoldout, per_year: float) -> float:
        """Alpha for what is new in a holdout, which counts as seen from now on.

        For each day of labels; of rows, for the days since the last judging by the share of new rows.
        """
        days = _days(holdout)
        if holdout.first_day is not None:
            new_days = float(len(days - self.days))
        else:
            passed = (holdout.as_of - self.as_of).days if self.as_of else 0
            new_days = max(0, passed) * self.new_share(holdout)
        self.days |= days
        self.rows |= set(holdout.rows)
        if len(holdout.rows) == SAMPLE:
            self.complete = min(self.complete, holdout.rows[-1])
        self.as_of = max(holdout.as_of, self.as_of or holdout.as_of)
        return per_year * new_days / YEAR

    def new_share(self, holdout: JudgedHoldout) -> float:
        """The share of a holdout that never judged."""
        if holdout.first_day is not None:
            days = _days(holdout)
            return len(days - self.days) / len(days) if days else 0.0
        comparable = [row for row in holdout.rows if row <= self.complete]
        return sum(row not in self.rows for row in comparable) / len(comparable) if comparable else 1.0


def _overlap(holdout: JudgedHoldout, other: JudgedHoldout) -> bool:
    if holdout.first_day is not None and holdout.end is not None:
        return (
            other.first_day is not None
            and other.end is not None
            and holdout.first_day < other.end
            and other.first_day < holdout.end
        )
    return not set(holdout.rows).isdisjoint(other.rows)


def _days(holdout: JudgedHoldout) -> frozenset[date]:
    return _days_between(holdout.first_day, holdout.end)


@lru_cache(maxsize=1024)
def _days_between(first: date | None, end: date | None) -> frozenset[date]:
    if first is None or end is None:
        return frozenset()
    return frozenset(first + timedelta(days=day) for day in range((end - first).days))
