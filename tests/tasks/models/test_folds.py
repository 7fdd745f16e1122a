"""Folds of rows respect what the split cut by: time, groups, or nothing. Tuning and calibration use the same ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.errors import NotEnoughData
from tasks.models import MODELS
from tasks.models.base import Examples
from tasks.models.folds import make_folds
from tasks.problems import problem_of
from tasks.stages.training.rounds import measure_round
from tasks.stages.training.spec import SearchKind
from tasks.stages.training.tuning import make_judge

TERMS = ScoringTerms(use_case="sensor", task=TaskKind.CLASSIFICATION, metrics=("log_loss",))


def table(rows: int = 120, **columns: object) -> pd.DataFrame:
    target = np.random.default_rng(3).integers(0, 2, rows)
    return pd.DataFrame({c.ROW_ID: [f"r{n:04d}" for n in range(rows)], c.TARGET: target, **columns})


def test_rows_in_order_are_measured_by_what_was_before_them() -> None:
    moments = np.random.default_rng(5).permutation(np.repeat(np.arange(40), 3))  # three rows of each moment, in any order
    folds = make_folds(table(split_order=moments), 4, seed=7)
    assert len(folds) == 4
    for learn, judged in folds:
        assert moments[learn].max() < moments[judged].min()
    spans = [(moments[judged].min(), moments[judged].max()) for _, judged in folds]
    assert spans == [(20, 24), (25, 29), (30, 34), (35, 39)], "the second half, in spans of equal length"


@pytest.mark.parametrize(("moments", "expected"), [(1, 0), (2, 1), (3, 1), (5, 2), (30, 3)])
def test_few_moments_give_fewer_rounds(moments: int, expected: int) -> None:
    order = np.repeat(np.arange(moments), 40)
    rows = table(40 * moments, split_order=order)
    folds = make_folds(rows, 3, seed=7)
    assert len(folds) == expected
    assert all(order[learn].max() < order[judged].min() for learn, judged in folds)


def test_a_group_is_on_one_side() -> None:
    groups = np.repeat([f"patient {n}" for n in range(24)], 5)
    folds = make_folds(table(split_group=groups), 4, seed=7)
    assert len(folds) == 4
    for learn, judged in folds:
        assert not set(groups[learn]) & set(groups[judged])
    assert sorted(np.concatenate([judged for _, judged in folds])) == list(range(120))


def test_a_class_in_one_group_allows_no_fold() -> None:
    rows = table(split_group=np.repeat(["a", "b", "c", "d"], 30))
    rows[c.TARGET] = (rows[c.SPLIT_GROUP] == "a").astype(int)
    assert make_folds(rows, 4, seed=7) == []


def test_drawn_rows_are_folded_as_before() -> None:
    rows = table()
    target = rows[c.TARGET].to_numpy()
    expected = StratifiedKFold(4, shuffle=True, random_state=7).split(target, target)
    for ours, theirs in zip(make_folds(rows, 4, seed=7), expected, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    one_class = rows.assign(**{c.TARGET: 1})
    assert make_folds(one_class, 4, seed=7) == []


# a sensor whose state lasts for hours: who knows the minute before knows the answer, but not that of tomorrow


def sensor(rows: int, first: int = 0) -> pd.DataFrame:
    """Minutes of a state that changes every 60 of them, and of a weak signal. `minute` tells neighbours apart, nothing else."""
    minute = np.arange(first, first + rows)
    block = minute // 60
    state = np.random.default_rng(11).integers(0, 2, 1000)[block]
    signal = np.random.default_rng(13).normal(size=100_000)[minute] + state
    return pd.DataFrame(
        {
            c.ROW_ID: [f"m{n:06d}" for n in minute],
            c.TARGET: state,
            c.SPLIT_ORDER: minute * 60_000_000,
            "minute": minute.astype(float),
            "signal": signal,
        }
    )


FOREST = MODELS.parse({"kind": "random_forest", "trees": 30, "rows_per_leaf": 5}, "test")


def promise_and_deliver(train: pd.DataFrame, holdout: pd.DataFrame) -> tuple[float, float]:
    """The log loss that tuning's rounds promise, and that of the fitted model on the holdout."""
    rounds = problem_of(TERMS.task).make_rounds([Examples(rows=train)], 3, 7)
    promised = float(np.mean([measure_round(one, FOREST, TERMS, 7) for one in rounds]))
    model = FOREST.fit(Examples(rows=train), Examples(), 7)
    return promised, log_loss(holdout[c.TARGET], model.predict_rows(holdout))


def test_rounds_promise_what_the_holdout_delivers() -> None:
    train, holdout = sensor(3000), sensor(1500, first=3000)
    promised, delivered = promise_and_deliver(train, holdout)
    assert abs(promised - delivered) < 0.05
    # the broken twin: rounds and calibration that draw their rows learn from the minute before
    drawn, disappointed = promise_and_deliver(train.drop(columns=c.SPLIT_ORDER), holdout)
    assert drawn < 0.35 and disappointed > 0.8
    assert delivered < 0.75


def test_tuning_without_a_round_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="sensor: tuning has no round"):
        make_judge(SearchKind.TPE, [Examples(rows=table(split_order=np.zeros(120)))], 3, TERMS, seed=7)
