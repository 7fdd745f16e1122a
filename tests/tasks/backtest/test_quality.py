"""Values, intervals and differences of answers, by outcomes that came later."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.backtest import quality
from tasks.contracts.base import TaskKind
from tasks.errors import NotEnoughData
from tasks.io.storage import Storage, frame_writer
from tasks.jobs.run import Run
from tasks.metrics import UNIT, WEIGHT, get_metric
from tasks.models.base import FeatureTables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NDCG = get_metric("ndcg_at_10", TaskKind.PROPENSITY)
LOSS = get_metric("log_loss", TaskKind.CLASSIFICATION)
AUC = get_metric("roc_auc", TaskKind.CLASSIFICATION)


def day_of(values: list[float], users: list[str] | None = None) -> pd.DataFrame:
    names = users or [f"u{place}" for place in range(len(values))]
    return pd.DataFrame({UNIT: names, NDCG.name: values, NDCG.name + WEIGHT: 1.0})


def test_days_together_weigh_every_answer_alike() -> None:
    found = quality.resample(NDCG, [day_of([1.0, 0.0, 0.0, 0.0]), day_of([1.0, 1.0])], seed=7)
    assert found.value == pytest.approx(0.5) and found.low < 0.5 < found.high


def test_the_same_users_on_many_days_are_no_further_evidence() -> None:
    random = np.random.default_rng(3)
    values = random.random(40).tolist()
    once = quality.resample(NDCG, [day_of(values)], seed=7)
    often = quality.resample(NDCG, [day_of(values)] * 20, seed=7)
    others = [day_of(values, [f"d{day}u{place}" for place in range(40)]) for day in range(20)]
    fresh = quality.resample(NDCG, others, seed=7)
    width = once.high - once.low
    assert often.high - often.low == pytest.approx(width, rel=1e-9)
    assert fresh.high - fresh.low < 0.4 * width, "a bootstrap of answers would be as narrow for the same users"


def test_differences_are_paired_and_positive_where_ours_is_better() -> None:
    random = np.random.default_rng(3)
    base = random.random(200)
    ours, theirs = [day_of((base + 0.02).tolist())], [day_of(base.tolist())]
    gain = quality.compare(NDCG, ours, theirs, seed=7)
    assert gain.value == pytest.approx(0.02) and gain.low == pytest.approx(0.02) and gain.high == pytest.approx(0.02)
    assert quality.compare(NDCG, theirs, ours, seed=7).high < 0
    losses = [
        pd.DataFrame({UNIT: ["a", "b"], LOSS.name: values, LOSS.name + WEIGHT: 1.0}) for values in ([0.1, 0.2], [0.3, 0.4])
    ]
    assert quality.compare(LOSS, losses[:1], losses[1:], seed=7).value == pytest.approx(0.2), "a smaller loss is better"


def test_a_skewed_difference_seldom_shows_a_better_policy() -> None:
    """Two policies of the same mean: one sells a little more to most, the other much more to three in a hundred."""
    better, by_quantiles = 0, 0
    for trial in range(150):
        random = np.random.default_rng([4, trial])
        usual, big = np.exp(random.normal(2, 0.8, 200)), np.exp(random.normal(4, 1, 200))
        is_big = random.random(200) < 0.03
        theirs = usual + big * is_big
        ours = np.where(is_big, usual, theirs + 0.03 / 0.97 * np.exp(4.5))
        better += quality.compare(NDCG, [day_of(ours.tolist())], [day_of(theirs.tolist())], seed=trial).low > 0
        drawn = random.integers(0, 200, (500, 200))
        by_quantiles += np.quantile((ours - theirs)[drawn].mean(axis=1), 0.025) > 0
    assert better / 150 <= 0.05
    assert by_quantiles / 150 >= 0.1, "quantiles of the differences show too many"


def test_one_of_many_equal_policies_is_seldom_called_better() -> None:
    trials, policies, found = 100, 5, {1: 0, 5: 0}
    for trial in range(trials):
        random = np.random.default_rng([8, trial])
        first, *others = ([day_of(random.normal(1, 0.3, 100).tolist())] for _ in range(policies + 1))
        for comparisons in found:
            gains = [quality.compare(NDCG, one, first, seed=trial, comparisons=comparisons) for one in others]
            found[comparisons] += any(gain.low > 0 for gain in gains)
    assert found[policies] / trials <= 0.05
    assert found[1] / trials >= 0.08, "five intervals of 95 % each show too many"


def test_intervals_of_few_users_that_differ_end() -> None:
    """Most resamples hold none of them, or nothing else."""
    theirs = np.full(30, 0.5)
    ours = theirs + 0.3 * (np.arange(30) < 1)
    found = quality.compare(NDCG, [day_of(ours.tolist())], [day_of(theirs.tolist())], seed=7)
    assert found.low < 0 < found.value == pytest.approx(0.01) and found.high <= 0.31
    alone = quality.compare(NDCG, [day_of([0.4])], [day_of([0.1])], seed=7)
    assert (alone.low, alone.value, alone.high) == pytest.approx((0.3, 0.3, 0.3))


def test_metrics_of_all_predictions_together_are_resampled_too() -> None:
    random = np.random.default_rng(3)
    label = (random.random(120) < 0.4).astype(float)
    rows = pd.DataFrame({UNIT: [f"r{n}" for n in range(120)], c.PREDICTION: label * 0.3 + random.random(120), c.LABEL: label})
    found = quality.resample(AUC, [rows], seed=7)
    assert 0.5 < found.low < found.value < found.high < 1


def test_outcomes_are_the_purchases_of_the_attribution_window(spark: SparkSession, own_home: Path) -> None:
    """As in training: o1 is of its first moment, what came back was no purchase."""
    storage = Storage(own_home / "data")
    events = [
        ("2011-03-13 23:59", "u1", "early", c.PURCHASE),
        ("2011-03-14 00:00", "u1", "a", c.PURCHASE),
        ("2011-03-20 12:00", "u1", "a", c.PURCHASE),
        ("2011-03-20 12:00", "u2", "b", c.PURCHASE),
        ("2011-03-21 09:00", None, "c", c.PURCHASE),
        ("2011-03-22 09:00", "u2", "d", c.RETURN),
        ("2011-03-27 23:59", "u3", "a", c.PURCHASE),
        ("2011-03-28 00:01", "u3", "e", c.PURCHASE),
        ("2011-03-16 09:00", "u3", "back", c.PURCHASE),
        ("2011-03-17 09:00", "u3", "back", c.RETURN),
        ("2011-03-28 00:00", "u2", "late", c.PURCHASE),
    ]
    frame = pd.DataFrame(events, columns=[c.EVENT_AT, c.USER_ID, c.ITEM_ID, c.EVENT_TYPE])
    frame[c.EVENT_AT] = pd.to_datetime(frame[c.EVENT_AT], utc=True)
    frame[c.ROW_ID], frame[c.VALUE] = [f"r{n}" for n in range(len(frame))], 1.0
    frame[c.SOURCE_FILE], frame[c.INGESTED_AT] = frame[c.EVENT_AT].dt.strftime("%F"), frame[c.EVENT_AT]
    orders = [None, None, None, None, None, None, "o1", "o1", None, None, None]
    frame[c.EVENT_ID] = pd.array(orders, "string")
    frame[c.EVENT_AT] = frame[c.EVENT_AT].dt.as_unit("us")
    frame[c.INGESTED_AT] = frame[c.INGESTED_AT].dt.as_unit("us")
    for label in ("2011-03-07..2011-03-14", "2011-03-14..2011-03-21", "2011-03-21..2011-04-04"):
        first, last = (pd.Timestamp(day, tz="UTC") for day in label.split(".."))
        inside = frame[(frame[c.EVENT_AT] >= first) & (frame[c.EVENT_AT] < last)]
        storage.publish(
            use_case="purchase_propensity", layer=c.VALIDATED, partition=label, tables={c.ROWS: frame_writer(inside)}
        )
    empty = {name: frame_writer(pd.DataFrame({key: ["x"]})) for name, key in ((c.USERS, c.USER_ID), (c.ITEMS, c.ITEM_ID))}
    pairs = frame_writer(pd.DataFrame({c.USER_ID: ["x"], c.ITEM_ID: ["x"]}))
    features = storage.publish(
        use_case="purchase_propensity", layer=c.FEATURES, partition="2011-03-14", tables={**empty, c.PAIRS: pairs}
    )
    run = Run.open("purchase_propensity", run_id="run")
    labels = quality.read_outcomes(run, features, date(2011, 3, 14)).labels
    assert labels is not None
    assert sorted(zip(labels[c.USER_ID], labels[c.ITEM_ID], labels[c.LABEL], strict=True)) == [
        ("u1", "a", 1.0),
        ("u2", "b", 1.0),
        ("u3", "a", 1.0),
        ("u3", "e", 1.0),
    ]
    local = replace(run, use_case=run.use_case.model_copy(update={"time_zone": "America/New_York"}))
    labels = quality.read_outcomes(local, features, date(2011, 3, 14)).labels
    assert labels is not None and set(labels[c.ITEM_ID]) == {"a", "b", "e", "late"}, (
        "midnight in UTC is the evening before there"
    )
    with pytest.raises(NotEnoughData, match=r"nothing was validated in 2012-01-01\.\.2012-01-15"):
        quality.read_outcomes(run, features, date(2012, 1, 1))


def test_the_best_possible_answers_are_ranked_and_no_model() -> None:
    class Knows:
        def best_items(self, users: object, day: date, days: int, features: FeatureTables, k: int) -> list[list[str]]:
            return [["b", "a"][:k], []]

    best = quality.BestPossible(Knows(), date(2011, 3, 14), 14)
    one, nobody = best.recommend(["u1", "u2"], FeatureTables(pd.DataFrame(), pd.DataFrame(), pd.DataFrame()), 10)
    assert one.items == ("b", "a") and list(one.scores) == sorted(one.scores, reverse=True) and nobody.items == ()
    with pytest.raises(Exception, match="no model"):
        best.state()
