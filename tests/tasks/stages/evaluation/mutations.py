"""What the gates must stop, made from pipelines that pass: each mutation with the gate that is to stop it.

Found automatically by tests/proof and by the benchmark; every kind of gate has at least one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.synthetic_pipelines import (
    CHAMPION_AS_OF,
    IS_NEW_ITEM,
    IS_NEW_USER,
    POPULAR,
    SHELF,
    SHOPPERS,
    Shop,
    TwistedSpec,
    Ward,
    appetite,
    knows,
)

Parts = dict[str, pd.DataFrame]


def shuffled_labels(parts: Parts) -> Parts:
    rows = parts["train"]
    return parts | {"train": rows.assign(**{c.TARGET: np.random.default_rng(3).permutation(rows[c.TARGET].to_numpy())})}


def _leaked_label(parts: Parts) -> Parts:
    noise = np.random.default_rng(4)
    return {part: rows.assign(y=rows[c.TARGET] + 0.05 * noise.normal(size=len(rows))) for part, rows in parts.items()}


def _swapped_columns(parts: Parts) -> Parts:
    """In the holdout x and site have changed places."""
    return parts | {"holdout": parts["holdout"].rename(columns={"x": "site", "site": "x"})}


def _column_more(parts: Parts) -> Parts:
    """The holdout has a column that the model was never taught."""
    return parts | {"holdout": parts["holdout"].assign(z=1.0)}


def _another_unit(parts: Parts) -> Parts:
    """The holdout's x comes in thousandths."""
    return parts | {"holdout": parts["holdout"].assign(x=1000 * parts["holdout"]["x"])}


def _outlier(parts: Parts) -> Parts:
    x = parts["holdout"]["x"].to_numpy().copy()
    x[0] = 10.0
    return parts | {"holdout": parts["holdout"].assign(x=x)}


def _last_rows_gone(parts: Parts) -> Parts:
    return parts | {"holdout": parts["holdout"].iloc[:-30]}


def _noisy_y(parts: Parts) -> Parts:
    rows = parts["train"]
    return parts | {"train": rows.assign(y=np.random.default_rng(5).permutation(rows["y"].to_numpy()))}


def _twisted(fault: str, alone: bool = False) -> Callable[[Ward], Verdict]:
    return lambda ward: ward.judge(spec=TwistedSpec(name=fault, fault=fault), alone=alone)


# name -> the gate that stops it, and how it comes about
WARD: dict[str, tuple[str, Callable[[Ward], Verdict]]] = {
    "shuffled_labels": ("minimum_metric", lambda ward: ward.judge(shuffled_labels)),
    "leaked_label": ("suspicious_improvement", lambda ward: ward.judge(_leaked_label)),
    "swapped_columns": ("minimum_metric", lambda ward: ward.judge(_swapped_columns)),
    "a_column_more": ("signature_match", lambda ward: ward.judge(_column_more)),
    "another_unit": ("beats_champion", lambda ward: ward.judge(_another_unit)),
    "worse_model": ("beats_champion", lambda ward: ward.judge(_noisy_y, champion_knows=True)),
    "stale_as_of": ("freshness", lambda ward: ward.judge(as_of=date(2011, 5, 10))),
    "same_day_as_the_champion": ("freshness", lambda ward: ward.judge(as_of=CHAMPION_AS_OF)),
    "a_day_missing": ("freshness", lambda ward: ward.judge(_last_rows_gone, absent=date(2011, 5, 31))),
    "the_champions_own_rows": ("freshness", lambda ward: ward.judge(champion_digest="same")),
    "constant_predictions": ("prediction_sanity", _twisted("constant", alone=True)),
    "a_nan_prediction": (
        "prediction_sanity",
        lambda ward: ward.judge(_outlier, spec=TwistedSpec(name="nan", fault="nan")),
    ),
    "overconfident": ("calibration", _twisted("overconfident")),
    "better_on_average_worse_on_a_site": ("no_slice_regression", _twisted("forgets_a_site")),
    "slow_model": ("serving_budget", _twisted("slow")),
    "heavy_model": ("serving_budget", _twisted("heavy")),
}


def _popular_only() -> np.ndarray:
    return np.asarray(np.tile(np.linspace(0.9, 0.1, SHELF), (SHOPPERS, 1)) + 0.001 * knows(0.0))


def _silent() -> np.ndarray:
    return np.where((np.arange(SHOPPERS) % 10 == 0)[:, None], -np.inf, knows(0.8))


def _above_one() -> np.ndarray:
    """One probability of one user is none."""
    scores: np.ndarray = knows(0.8)
    scores[3, 2] = 1.7
    return scores


SHOP: dict[str, tuple[str, Callable[[Shop], Verdict]]] = {
    "train_test_bleed": ("suspicious_improvement", lambda shop: shop.judge(appetite(), "bleed")),
    "the_same_items_for_all": ("catalog_coverage", lambda shop: shop.judge(_popular_only(), "same")),
    "popular_items_only": (
        "catalog_coverage",
        lambda shop: shop.judge(np.where(np.arange(SHELF) < 2 * POPULAR, knows(0.9), 0.001 * knows(0.0)), "popular"),
    ),
    "worse_for_new_users": ("no_slice_regression", lambda shop: shop.judge(knows(0.95, users=~IS_NEW_USER), "no_new_users")),
    "worse_for_new_items": (
        "no_slice_regression",
        lambda shop: shop.judge(np.where(IS_NEW_ITEM, 0.0001, knows(0.9)), "no_new_items"),
    ),
    "no_answer_for_some": ("prediction_sanity", lambda shop: shop.judge(_silent(), "silent")),
    "a_probability_above_one": ("prediction_sanity", lambda shop: shop.judge(_above_one(), "above_one")),
    "other_signature": ("signature_match", lambda shop: shop.judge(knows(0.8), "other_signature", asked="customer")),
}
