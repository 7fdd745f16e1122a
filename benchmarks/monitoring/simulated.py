"""Generated weeks of data with known truth: without drift, with four kinds of drift, with four kinds of broken data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd

from tasks.columns import EVENT_AT, ROW_ID, TARGET
from tasks.contracts.base import Window

FIRST = date(2024, 1, 1)  # a Monday
COLUMNS = ("amount", "age", "visits", "channel", "region")
DRIFTS = {"sudden": 3, "gradual": 14, "seasonal": 14, "feature_only": 3}  # kind -> within so many windows


def week(number: int) -> Window:
    return Window.before(FIRST + timedelta(days=7 * (number + 1)), 7)


def make_week(number: int, seed: int, rows: int, drift: str = "", since: int = 10**6) -> pd.DataFrame:
    """One week's rows. Weeks without drift vary too: each has its own small shifts of mean and mix.

    sudden : from one week on, larger amounts, older customers, other channels. gradual : the same, a tenth more every week.
    seasonal : channels and amounts follow a yearly wave. feature_only : one column drifts, and the class does not.
    """
    random = np.random.default_rng([seed, number])
    noise = random.normal(0, 0.03, 4)
    passed = number - since
    strength = 0.0
    if drift in {"sudden", "feature_only"}:
        strength = float(passed >= 0)
    elif drift == "gradual":
        strength = float(np.clip((passed + 1) / 10, 0, 1))
    elif drift == "seasonal" and passed >= 0:
        strength = float(np.sin(2 * np.pi * (passed + 1) / 52))
    drifted = 0.0 if drift == "feature_only" else strength
    amount = random.gamma(4 + 2.5 * drifted + noise[0], 10, rows)
    age = random.normal(40 + 9 * strength + noise[1], 12, rows).round()
    visits = random.poisson(4 + drifted + noise[2], rows).astype(float)
    weights = np.array([0.5, 0.3, 0.15, 0.05]) * np.exp(np.array([-1.0, 0.4, 0.8, 1.2]) * drifted + noise[3])
    logit = -2 + 0.02 * (amount - 40) + 0.8 * drifted
    moments = pd.Timestamp(week(number).start, tz="UTC") + pd.to_timedelta(np.arange(rows) % 7, unit="D")
    return pd.DataFrame(
        {
            ROW_ID: [f"w{number}:{place}" for place in range(rows)],
            EVENT_AT: pd.Series(moments).astype("datetime64[us, UTC]"),  # Spark reads no nanoseconds
            "amount": amount,
            "age": age,
            "visits": visits,
            "channel": random.choice(["shop", "web", "app", "phone"], rows, p=weights / weights.sum()),
            "region": random.choice(list("abcdefgh"), rows),
            TARGET: (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(float),
        }
    )


def _renamed(rows: pd.DataFrame, days: int = 0) -> pd.DataFrame:
    later = rows.assign(**{EVENT_AT: rows[EVENT_AT] + pd.Timedelta(days=days)})
    return later.assign(**{ROW_ID: "again-" + rows[ROW_ID]})


# name -> the delivered week, from the true week and the week before it
BREAKS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]] = {
    "another_unit": lambda rows, _: rows.assign(amount=rows["amount"] * 100),
    "missing_day": lambda rows, _: rows[rows[EVENT_AT].dt.weekday != 2].reset_index(drop=True),
    "doubled_rows": lambda rows, _: pd.concat([rows, _renamed(rows)], ignore_index=True),
    "frozen_upstream": lambda _, before: _renamed(before, 7),
}
