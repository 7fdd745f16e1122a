"""Curves and mistakes with known answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.metrics import get_metric
from tasks.problems import problem_of
from tasks.stages.reporting import curves, error_analysis
from tasks.stages.reporting.sides import Side

NDCG = get_metric("ndcg_at_3", TaskKind.PROPENSITY)
RMSE = get_metric("rmse", TaskKind.RATING)


def side(
    subject: str, part: Any, weight: Any = 1.0, metric: str = "ndcg_at_3", predictions: pd.DataFrame | None = None
) -> Side:
    units = pd.DataFrame({"unit": [f"u{row:03d}" for row in range(len(part))], metric: part, f"{metric}__weight": weight})
    return Side(subject, subject, units, pd.DataFrame() if predictions is None else predictions)


def predicted(said: Any, happened: Any, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({c.PREDICTION: np.asarray(said, float), c.LABEL: np.asarray(happened, float), **columns})


# curves


def test_calibration_bins_are_tenths_with_wilson_intervals() -> None:
    said = np.repeat(np.arange(10) / 10 + 0.05, 10)
    happened = np.concatenate([np.arange(10) < tenth for tenth in range(10)])
    bins = curves.calibration_bins(predicted(said, happened))
    assert [one.count for one in bins] == [10] * 10
    assert [one.happened for one in bins] == pytest.approx(np.arange(10) / 10)
    assert [one.predicted for one in bins] == pytest.approx(np.arange(10) / 10 + 0.05)
    assert (bins[8].low, bins[8].high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert bins[0].low == 0.0 and bins[0].high == pytest.approx(0.2775, abs=1e-4)


def test_equal_predictions_share_a_bin_and_nan_has_none() -> None:
    (only,) = curves.calibration_bins(predicted([0.3] * 40 + [np.nan], [1.0] * 12 + [0.0] * 28 + [1.0]))
    assert [only.count, only.predicted, only.happened] == [40, pytest.approx(0.3), pytest.approx(0.3)]
    assert curves.calibration_bins(predicted([np.nan], [1.0])) == []


def test_gain_by_rank_counts_purchases_outside_the_lists() -> None:
    lists = predicted([0.5] * 4, [1, 0, 0, 1], **{c.RANK: [1, 2, 1, 2]})
    ranks, found = curves.gain_by_rank(lists, np.array([1.0, 3.0]), 3)
    assert list(ranks) == [1, 2, 3] and list(found) == [0.25, 0.5, 0.5]
    assert list(curves.best_gain_by_rank(np.array([1.0, 3.0]), 3)[1]) == [0.5, 0.75, 1.0]


def test_gain_by_share_takes_equal_predictions_at_once() -> None:
    taken, found = curves.gain_by_share(predicted([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]))
    assert list(taken) == [0, 0.25, 0.75, 1] and list(found) == [0, 0.5, 1, 1]
    assert list(curves.gain_by_share(predicted([0.3] * 5, [1, 0, 0, 0, 1]))[1]) == [0, 1], "a constant finds nothing early"
    assert len(curves.gain_by_share(predicted([0.3], [0]))[0]) == 0
    assert list(curves.gain_by_share(predicted([5, 4, 3], [4, 5, 3]), 4.0)[1]) == [0, 0.5, 1, 1], "ratings from 4 on"


# mistakes


@pytest.fixture
def labels() -> pd.DataFrame:
    return pd.DataFrame([("u0", "a"), ("u0", "b"), ("u0", "n"), ("u1", "a")], columns=[c.USER_ID, c.ITEM_ID]).assign(label=1.0)


@pytest.fixture
def kinds(labels: pd.DataFrame) -> pd.Series[Any]:
    pairs = pd.DataFrame({c.USER_ID: ["u0", "u0", "u9"], c.ITEM_ID: ["a", "a", "b"]})
    return error_analysis.kinds_of_labels(labels, pairs, pd.DataFrame({c.ITEM_ID: ["a", "b"]}))


def test_kinds_of_labels(kinds: pd.Series[Any]) -> None:
    assert list(kinds) == [error_analysis.AGAIN, error_analysis.DISCOVERY, error_analysis.NEW_ITEM, error_analysis.DISCOVERY]


def test_mistakes_of_lists(labels: pd.DataFrame, kinds: pd.Series[Any]) -> None:
    lists = pd.DataFrame({c.USER_ID: ["u0", "u1"], c.ITEM_ID: ["a", "b"]})
    again, discovery, new = error_analysis.mistakes_of_lists(labels, kinds, [side("challenger", [1.0], predictions=lists)])
    assert (again.count, again.share, again.values) == (1, 0.25, {"challenger": 1.0})
    assert (discovery.count, discovery.values) == (2, {"challenger": 0.0}) and new.count == 1


def test_describe_list_marks_hits_and_new_items(labels: pd.DataFrame, kinds: pd.Series[Any]) -> None:
    mine = labels[c.USER_ID] == "u0"
    lines = predicted([0.4, 0.2], [0, 1], **{c.ITEM_ID: ["x", "b"], c.RANK: [1, 2]})
    case = error_analysis.describe_list("u0", lines, labels[c.ITEM_ID][mine], kinds[mine], is_share=True)
    assert [(one.item, one.note, one.is_hit) for one in case.predicted] == [("x", "40%", False), ("b", "20%", True)]
    assert [(one.item, one.note, one.is_hit) for one in case.happened] == [
        ("b", "place 2", True),
        ("a", "had it before", False),
        ("n", "new item", False),
    ]


def test_worst_cases_cost_most_and_have_weight() -> None:
    sides = (side("challenger", [0.0, 0.9, 0.0, 0.5], [1.0, 1.0, 0.0, 1.0]), side("champion", [0.25] * 4))
    bought = pd.DataFrame({c.USER_ID: ["u000", "u003", "u003"], c.ITEM_ID: ["a", "a", "b"]})
    empty = pd.DataFrame({c.USER_ID: ["u000"]})
    sides = (Side("challenger", "x", sides[0].units, empty), sides[1])
    cases = error_analysis.worst_cases(NDCG, sides, bought, lambda unit, _: error_analysis.Case(unit, 0.0, None, (), ()))
    assert [(case.unit, case.value, case.champion) for case in cases] == [("u000", 0.0, 0.25)], "the others are above the mean"


def test_worst_cases_of_ratings_have_the_largest_error_sums() -> None:
    """One rating that is far off costs less than many that are quite off."""
    units = side("challenger", [9.0, 40.0, 1.0, 1.0], [1.0, 10.0, 10.0, 10.0], "rmse").units
    sides = (Side("challenger", "x", units, pd.DataFrame({c.USER_ID: ["u000"]})),)
    cases = error_analysis.worst_cases(
        RMSE, sides, pd.DataFrame({c.USER_ID: ["u000"]}), lambda unit, _: error_analysis.Case(unit, 0, None, (), ())
    )
    assert [(case.unit, case.value) for case in cases] == [("u001", 2.0), ("u000", 3.0)]


def test_mistakes_of_values() -> None:
    rows = predicted([0.9, 0.4, 0.2, 0.5], [1, 1, 0, 0])
    zero, one = error_analysis.mistakes_of_values(
        [side("challenger", [1.0], predictions=rows)], problem_of(TaskKind.CLASSIFICATION)
    )
    assert (zero.kind, zero.count, zero.values["challenger"]) == ("class 0", 2, 0.5)
    assert (one.kind, one.values["challenger"]) == ("class 1", 0.5)
    ratings = predicted([4.0, 2.0, np.nan], [5, 5, 1])
    broken, five = error_analysis.mistakes_of_values(
        [side("challenger", [1.0], predictions=ratings)], problem_of(TaskKind.RATING)
    )
    assert five.values["challenger"] == pytest.approx(5**0.5) and broken.values == {}
