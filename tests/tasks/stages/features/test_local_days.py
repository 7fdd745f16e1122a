"""A day of 23 or 25 hours is the same day for features, labels, answers, outcomes and counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.predictions import BATCH, Prediction
from tasks.io.orders import find_open_orders, settle_orders
from tasks.io.storage import Storage
from tasks.models.base import read_examples
from tasks.stages.features import FeatureRequest, FeatureSpec, split
from tasks.stages.features.history import AGE, add_age, date_of, happened_in, known_at
from tasks.stages.features.interactions import make_labels
from tasks.stages.features.spec import ByTime
from tasks.stages.monitoring import in_memory, in_spark
from tasks.stages.monitoring.checks.base import UNIT
from tasks.stages.monitoring.exposures import OUTCOMES, publish_exposures
from tasks.stages.monitoring.labels import LabelPolicy, attribute, read_outcomes
from tasks.stages.monitoring.windows import count_labels
from tests.tasks.stages.features.conftest import USE_CASE, Publish, Row, row

NEW_YORK, LONDON = ZoneInfo("America/New_York"), ZoneInfo("Europe/London")
ONE_DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
# The local day, and the moments in UTC at which it and the next one begin.
CHANGES = {
    "23 hours in New York": (NEW_YORK, date(2026, 3, 8), "2026-03-08T05:00", "2026-03-09T04:00"),
    "25 hours in New York": (NEW_YORK, date(2026, 11, 1), "2026-11-01T04:00", "2026-11-02T05:00"),
    "23 hours in London": (LONDON, date(2026, 3, 29), "2026-03-29T00:00", "2026-03-29T23:00"),
    "25 hours in London": (LONDON, date(2026, 10, 25), "2026-10-24T23:00", "2026-10-26T00:00"),
}


def edges(begins: str, ends: str) -> list[Row]:
    """Purchases in the first and the last second of a day, and in the seconds around it."""
    first, after = (datetime.fromisoformat(text) for text in (begins, ends))
    moments = {"before": first - SECOND, "first": first, "last": after - SECOND, "after": after}
    return [row("ann", item, at.isoformat(), item) for item, at in moments.items()]


def answer(day: date) -> Prediction:
    """A batch answer of features as of a day, given on the next morning."""
    items = ("before", "first", "last", "after")
    return Prediction(
        prediction_id="p",
        made_at=datetime.combine(day + ONE_DAY, datetime.min.time(), UTC),
        use_case=USE_CASE,
        channel=BATCH,
        subject="ann",
        model_version=1,
        manifest_digest="a" * 64,
        features_version="f",
        features_as_of=day,
        path="model",
        items=items,
        scores=(0.5,) * len(items),
        latency_ms=1.0,
    )


@pytest.mark.parametrize("name", CHANGES)
def test_all_agree_on_a_day_on_which_clocks_change(name: str, spark: SparkSession, publish: Publish, storage: Storage) -> None:
    zone, day, begins, ends = CHANGES[name]
    ref = publish(edges(begins, ends), "2026-01-01", "2027-01-01")
    rows = spark.read.parquet(str(storage.table(ref)))

    known = add_age(rows.where(known_at(day + ONE_DAY, c.INGESTED_AT, zone)), date_of(day + ONE_DAY), zone).select(
        c.ITEM_ID, AGE
    )
    assert {one[c.ITEM_ID]: one[AGE] for one in known.collect()} == {"before": 2, "first": 1, "last": 1}

    window = Window(start=day, end=day + ONE_DAY)
    labels = make_labels(settle_orders(rows, None, 7).where(happened_in(window, zone)), TaskKind.PROPENSITY)
    assert {one[c.ITEM_ID] for one in labels.collect()} == {"first", "last"}

    exposures = publish_exposures(USE_CASE, window, window, iter([answer(day)]), iter([]), storage, zone=zone)
    assert exposures is not None
    shown, sent = (storage.read(exposures, table) for table in (c.ROWS, OUTCOMES))
    assert set(shown["day"]) == {day} and set(shown["at"]) == {pd.Timestamp(begins, tz="UTC")}
    outcomes = read_outcomes(rows, TaskKind.PROPENSITY, keep=lambda frame: frame, zone=zone).toPandas()
    found = attribute(shown, outcomes, sent, LabelPolicy(attribution_days=1), TaskKind.PROPENSITY, zone)
    assert set(found.loc[found[c.LABEL] == 1, c.ITEM_ID]) == {"first", "last"}

    assert count_labels(storage, [ref], TaskKind.PROPENSITY, day, zone=zone) == 3, "from the first second on"
    counts = {day - ONE_DAY: 1, day: 2, day + ONE_DAY: 1}
    frame = storage.read(ref)
    assert in_memory.count_days(frame, zone) == in_spark.count_days(rows, zone) == counts
    units = [by.take_sample(side, [], 7, 10, window, zone) for by, side in ((in_memory, frame), (in_spark, rows))]
    for sample in units:
        places = sample[UNIT].str.rpartition("@")[2].astype(int)
        assert dict(zip(sample[c.ROW_ID].str.rpartition(":")[2], places, strict=True)) == {
            "before": 2,
            "first": 1,
            "last": 1,
            "after": 0,
        }


def test_a_split_cuts_at_local_midnight(spark: SparkSession, publish: Publish, storage: Storage) -> None:
    """A purchase of 21:00 in New York is of the next day in UTC. It is a label of its own day, and history of the next one."""
    evenings = {"mug": "2026-10-30T01:00", "tea": "2026-10-31T01:00", "pen": "2026-11-01T01:00", "cup": "2026-11-02T02:00"}
    rows = [row("ann", item, at, f"e{place}") for place, (item, at) in enumerate(evenings.items())]
    rows.append(row("ann", "old", "2026-10-20T12:00", "e9"))
    spec, ref = FeatureSpec(lookback_days=(7, 28)), publish(rows, "2026-01-01", "2027-01-01")
    request = FeatureRequest(USE_CASE, TaskKind.PROPENSITY, spec, [ref], date(2026, 11, 2), NEW_YORK)
    parts = split(request, ByTime(holdout_days=1), storage, seed=7)
    assert storage.manifest(parts.holdout)["facts"]["time_zone"] == "America/New_York"
    labelled, ages = [], []
    for part in (parts.train, parts.validation, parts.holdout):
        examples = read_examples(storage, part)
        assert examples.labels is not None and examples.features is not None
        labelled.append(set(examples.labels[c.ITEM_ID]))
        ages.append(float(examples.features.users["user_recency_days"].iloc[0]))
    assert labelled == [{"tea"}, {"pen"}, {"cup"}]
    assert ages == [1.0, 1.0, 1.0], "the last purchase was on the evening before each window"


def test_a_basket_over_midnight_elsewhere_is_of_one_day(spark: SparkSession, publish: Publish, storage: Storage) -> None:
    """From 19:50 to 20:10 in New York it becomes the next day in UTC. From 23:50 to 00:10 it becomes the next day there."""
    rows = [row("ann", "mug", "2026-07-01T23:50", "evening"), row("ann", "tea", "2026-07-02T00:10", "evening")]
    night = [row("ann", "mug", "2026-07-03T03:50", "night"), row("ann", "tea", "2026-07-03T04:10", "night")]
    at_once = [one | {c.INGESTED_AT: datetime(2026, 7, 4, tzinfo=UTC)} for one in (*rows, *night)]
    frame = spark.read.parquet(str(storage.table(publish(at_once, "2026-01-01", "2027-01-01"))))
    orders = find_open_orders(frame, lambda one: one, NEW_YORK)
    assert orders is not None and [one["_event"] for one in orders.collect()] == ["night"]
    in_utc = find_open_orders(frame.where(F.col(c.EVENT_ID) == "evening"), lambda one: one)
    assert in_utc is not None and in_utc.count() == 1
