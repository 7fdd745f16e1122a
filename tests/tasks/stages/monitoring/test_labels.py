"""Late labels: which outcome belongs to which answer, when a cohort counts, and what places in a list do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.predictions import Prediction
from tasks.io.storage import Storage
from tasks.stages.monitoring.labels import (
    LabelPolicy,
    attribute,
    find_propensities,
    measure_quality,
    publish_exposures,
    read_outcomes,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2011, 3, 1)
COHORT = Window(start=DAY, end=DAY + timedelta(days=7))
POLICY = LabelPolicy(attribution_days=3, late_days=1)


def answer(name: str, subject: str, items: tuple[str, ...] = ("a", "b"), day: int = 0, **changed: Any) -> Prediction:
    made = datetime.combine(DAY, datetime.min.time(), UTC) + timedelta(days=day)
    fields: dict[str, Any] = {
        "prediction_id": name,
        "made_at": made,
        "use_case": "shop",
        "channel": "online",
        "subject": subject,
        "model_version": 1,
        "manifest_digest": "a" * 64,
        "features_version": "f",
        "features_as_of": DAY + timedelta(days=day),
        "path": "model",
        "items": items,
        "scores": tuple(0.5 for _ in items) or (0.5,),
        "latency_ms": 1.0,
    }
    return Prediction(**{**fields, **changed})


def bought(*rows: tuple[str, str, int, float], ids: tuple[str | None, ...] = ()) -> pd.DataFrame:
    """(user, item, day, value) of purchases."""
    columns = [(c.USER_ID, 0), (c.ITEM_ID, 1), (c.VALUE, 3)]
    frame = pd.DataFrame({name: [row[place] for row in rows] for name, place in columns})
    days = [datetime.combine(DAY, datetime.min.time(), UTC) + timedelta(days=row[2], hours=9) for row in rows]
    more: dict[str, Any] = {c.EVENT_AT: days, c.EVENT_TYPE: c.PURCHASE, c.ROW_ID: [f"r{n}" for n in range(len(rows))]}
    return frame.assign(**(more | ({"prediction_id": list(ids)} if ids else {})))


def read(spark: SparkSession, storage: Storage, log: list[Prediction], cohort: Window = COHORT) -> DataFrame:
    ref = publish_exposures("shop", cohort, iter(log), storage)
    assert ref is not None
    return spark.read.parquet(str(storage.table(ref)))


def label(
    spark: SparkSession, storage: Storage, log: list[Prediction], outcomes: pd.DataFrame, task: TaskKind = TaskKind.PROPENSITY
) -> tuple[DataFrame, dict[tuple[str, str | None], tuple[Any, ...]]]:
    found = attribute(read(spark, storage, log), read_outcomes(spark.createDataFrame(outcomes), task), POLICY, task).cache()
    rows = {(row["prediction_id"], row[c.ITEM_ID]): (row[c.LABEL], row[c.VALUE], row["outcomes"]) for row in found.collect()}
    return found, rows


def test_a_cohort_counts_when_it_has_matured() -> None:
    window = Window(start=date(2011, 3, 20), end=date(2011, 3, 27))
    cohort = POLICY.cohort_of(window)
    assert cohort == Window(start=date(2011, 3, 16), end=date(2011, 3, 23))
    assert POLICY.is_mature(cohort, window.end) and not POLICY.is_mature(cohort, window.end - timedelta(days=1))


def test_exposures_keep_place_channel_and_day_and_only_the_cohort(storage: Storage) -> None:
    log = [
        answer("p1", "u", ("a", "b", "c")),
        answer("p2", "u", day=-1),
        answer("p3", "u", day=7),
        answer("p4", "row-1", (), features_as_of=None, channel="batch"),
    ]
    ref = publish_exposures("shop", COHORT, iter(log), storage)
    assert ref is not None
    rows = storage.read(ref).sort_values("row_id", ignore_index=True)
    assert rows["row_id"].tolist() == ["p1/1", "p1/2", "p1/3", "p4/1"]
    assert rows["position"].tolist() == [1, 2, 3, 1] and rows[c.ITEM_ID].tolist() == ["a", "b", "c", None]
    assert rows["channel"].tolist() == ["online"] * 3 + ["batch"] and set(rows["day"]) == {DAY}
    assert publish_exposures("shop", COHORT, iter([*log, answer("late", "v")]), storage) == ref, "a cohort is published once"
    assert publish_exposures("shop", Window(start=date(2012, 1, 1), end=date(2012, 1, 2)), iter(log), storage) is None


def test_outcomes_find_their_answer_by_id_or_by_user_item_and_window(spark: SparkSession, storage: Storage) -> None:
    log = [answer("p1", "u"), answer("p2", "u", day=1), answer("p3", "v"), answer("p4", "w", day=2)]
    outcomes = bought(
        ("u", "a", 2, 5.0),  # shown on days 0 and 1: the newest answer before it
        ("u", "b", 0, 1.0),  # of the day of the first answer
        ("u", "b", 9, 1.0),  # after the attribution window of both
        ("v", "z", 1, 1.0),  # never shown
        ("w", "a", 1, 1.0),  # bought before it was shown
        ("v", "a", 2, 3.0),
        ("v", "a", 2, 4.0),  # twice: one label, both amounts
    )
    _, rows = label(spark, storage, log, outcomes)
    hits = {key: found for key, found in rows.items() if found[2]}
    assert hits == {("p2", "a"): (1.0, 5.0, 1), ("p1", "b"): (1.0, 1.0, 1), ("p3", "a"): (1.0, 7.0, 2)}
    assert all(found == (0.0, 0.0, 0) for key, found in rows.items() if key not in hits), "who did not buy, did not buy"


def test_an_id_wins_over_the_window(spark: SparkSession, storage: Storage) -> None:
    log = [answer("p1", "u"), answer("p2", "u", day=1)]
    _, rows = label(spark, storage, log, bought(("u", "a", 2, 5.0), ("u", "b", 2, 2.0), ids=("p1", None)))
    assert rows[("p1", "a")] == (1.0, 5.0, 1) and rows[("p2", "a")] == (0.0, 0.0, 0)
    assert rows[("p2", "b")] == (1.0, 2.0, 1)


def test_figures_have_known_answers(spark: SparkSession, storage: Storage) -> None:
    log = [answer("p1", "u"), answer("p2", "v"), answer("p3", "w", scores=(0.95, 0.05))]
    found, _ = label(spark, storage, log, bought(("u", "b", 1, 6.0), ("w", "a", 1, 3.0)))
    figures = measure_quality(found, {1: 1.0, 2: 0.5}, TaskKind.PROPENSITY)
    assert figures == pytest.approx(
        {
            "matured_answers": 3,
            "label_coverage": 1,
            "value_per_answer": 3,
            "hit_rate": 2 / 3,
            "hit_share": 2 / 6,
            "hit_share_corrected": 3 / 6,
            "dcg": (1 / np.log2(3) + 1) / 3,
            "dcg_corrected": (2 / np.log2(3) + 1) / 3,
            "brier": (4 * 0.25 + 2 * 0.05**2) / 6,
            "calibration_ratio": 3 / 2,
            "calibration_error": (1.0 + 0.05 + 0.05) / 6,
        }
    )


def test_unknown_outcomes_are_not_negative(spark: SparkSession, storage: Storage) -> None:
    """A rating that did not come is unknown: it is not in the error, and the coverage shows it."""
    log = [answer(f"p{n}", f"u{n}", ("a",), scores=(4.0,)) for n in range(4)]
    outcomes = bought(("u1", "a", 1, 2.0)).assign(**{c.EVENT_TYPE: c.RATING})
    found, rows = label(spark, storage, log, outcomes, TaskKind.RATING)
    assert rows[("p1", "a")][0] == 2.0 and rows[("p0", "a")][0] is None
    figures = measure_quality(found, {1: 1.0}, TaskKind.RATING)
    assert (figures["label_coverage"], figures["rmse"], figures["mae"]) == (0.25, 2.0, 2.0)
    assert "rmse" not in measure_quality(found.where("label is null"), {1: 1.0}, TaskKind.RATING)


def test_rows_find_their_class_by_their_id(spark: SparkSession, storage: Storage) -> None:
    log = [answer(f"p{n}", f"r{n}", (), scores=(score,)) for n, score in enumerate((0.9, 0.2, 0.6))]
    outcomes = pd.DataFrame({c.ROW_ID: ["r0", "r1"], c.TARGET: [1, 0], c.EVENT_AT: [datetime(2011, 4, 1, tzinfo=UTC)] * 2})
    found, rows = label(spark, storage, log, outcomes, TaskKind.CLASSIFICATION)
    assert {key[0]: value[0] for key, value in rows.items()} == {"p0": 1.0, "p1": 0.0, "p2": None}
    figures = measure_quality(found, {1: 1.0}, TaskKind.CLASSIFICATION)
    assert figures["label_coverage"] == pytest.approx(2 / 3) and figures["brier"] == pytest.approx((0.01 + 0.04) / 2)
    assert "hit_share" not in figures


def exposed(spark: SparkSession, examined: tuple[float, ...], seed: int, days: int) -> tuple[DataFrame, float]:
    """Users who buy what they see and like. The first of three items is liked best. The order changes from day to day, so that
    pairs appear at several positions. Returned too: the share that they like."""
    random = np.random.default_rng(seed)
    likes = dict(zip("abc", (0.5, 0.3, 0.2), strict=True))
    rows = []
    for user in range(400):
        for day in range(days):
            order = "abc" if day == 0 else "".join(random.permutation(list("abc")))
            for place, item in enumerate(order, start=1):
                is_hit = random.random() < likes[item] and random.random() < examined[place - 1]
                rows.append((f"{user}-{day}", f"u{user}", item, place, float(is_hit), 0.5, 0.0))
    names = ["prediction_id", "subject", c.ITEM_ID, "position", c.LABEL, c.PREDICTION, c.VALUE]
    frame = pd.DataFrame(rows, columns=names).astype({"position": "int32"})
    return spark.createDataFrame(frame), float(np.mean(list(likes.values())))


def test_positions_are_corrected_from_the_log(spark: SparkSession) -> None:
    examined = (1.0, 0.6, 0.3)
    shown, truth = exposed(spark, examined, seed=1, days=4)
    propensities = find_propensities(shown, LabelPolicy(position_power=0.0))
    assert [propensities[place] for place in (1, 2, 3)] == pytest.approx(examined, abs=0.07)
    figures = measure_quality(shown, propensities, TaskKind.PROPENSITY)
    assert figures["hit_share_corrected"] == pytest.approx(truth, abs=0.03)
    assert figures["hit_share"] < truth - 0.1, "the raw figure is far below what people like"


def test_the_declared_power_applies_without_variation_in_the_log(spark: SparkSession) -> None:
    shown, _ = exposed(spark, (1.0, 0.6, 0.3), seed=1, days=1)
    assert find_propensities(shown, LabelPolicy(position_power=1.0)) == pytest.approx({1: 1.0, 2: 1 / 2, 3: 1 / 3})
    assert find_propensities(shown, LabelPolicy(position_power=9.0))[3] == 0.05, "no purchase counts more than twenty"
