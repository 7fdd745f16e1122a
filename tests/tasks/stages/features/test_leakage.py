"""Point in time: later rows never count, guards stop a split with later rows, and all readers get the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.errors import LeakageFound
from tasks.io.days import midnight
from tasks.io.storage import Storage, frame_writer
from tasks.models.base import read_examples, read_features
from tasks.stages.features import FeatureRequest, FeatureSpec, build_features, split
from tasks.stages.features.guards import check_rows, inspect_interactions
from tasks.stages.features.spec import ByTime
from tasks.stages.features.vocabulary import AGGREGATES, Declared
from tests.tasks.stages.features.conftest import USE_CASE, Publish, Row, moment, row

AS_OF = date(2011, 3, 1)
MIDNIGHT = moment("2011-03-01")
ALL = tuple(
    Declared.model_validate({"name": f"{of}_{word}_d", "of": of, "aggregate": word, "days": 60})
    for word, (owners, _) in AGGREGATES.items()
    for of in sorted(owners)
)
SPEC = FeatureSpec(lookback_days=(7, 28), declared=ALL)
SMALL = FeatureSpec(lookback_days=(7, 28))  # where the declared features make no difference
PAST = [row("ann", "mug", "2011-02-20T10:00", "e1"), row("ann", "tea", "2011-02-20T10:00", "e1")]
LEAKS = {
    "happened later": row("ann", "pen", "2011-03-01T00:00", "e2", **{c.INGESTED_AT: moment("2011-02-28T00:00")}),
    "known later": row("ann", "pen", "2011-02-28T10:00", "e2", **{c.INGESTED_AT: moment("2011-03-01T00:00:01")}),
}


def read(storage: Storage, publish: Publish, rows: list[Row], spec: FeatureSpec) -> tuple[pd.DataFrame, ...]:
    ref = build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, spec, [publish(rows)], AS_OF), storage)
    return tuple(storage.read(ref, table) for table in (c.USERS, c.ITEMS, c.PAIRS))


def test_later_rows_change_no_feature(spark: SparkSession, publish: Publish, storage: Storage) -> None:
    clean = read(storage, publish, PAST, SPEC)
    for mine, theirs in zip(clean, read(storage, publish, [*PAST, *LEAKS.values()], SPEC), strict=True):
        pd.testing.assert_frame_equal(mine, theirs)


@pytest.mark.parametrize("removed", sorted(LEAKS))
def test_each_condition_of_known_rows_is_needed(
    removed: str, spark: SparkSession, publish: Publish, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    without: dict[str, Callable[..., Any]] = {
        "happened later": lambda day, *_: F.col(c.INGESTED_AT) <= midnight(day),
        "known later": lambda day, *_: F.col(c.EVENT_AT) < midnight(day),
    }
    monkeypatch.setattr("tasks.stages.features.known_at", without[removed])
    items = read(storage, publish, [*PAST, *LEAKS.values()], SMALL)[1]
    assert "pen" in set(items[c.ITEM_ID]), "the test does not notice the leak"


SHOPS, KINDS = 36, [c.PURCHASE, c.PURCHASE, c.RETURN, c.RECOMMENDED]


def _draw(
    random: Random, least: int, most: int, pieces: tuple[int, int], last: int
) -> list[tuple[str, str, int, int, str, int]]:
    """Some interactions: user, item, minutes from the day, pieces, kind, and a number up to `last`."""
    return [
        (
            random.choice("uvw"),
            random.choice("abc"),
            random.randint(0, 100 * 24 * 60),
            random.randint(*pieces),
            random.choice(KINDS),
            random.randint(0, last),
        )
        for _ in range(random.randint(least, most))
    ]


def _early(place: int, shop: int, one: tuple[str, str, int, int, str, int]) -> Row:
    user, item, ago, pieces, kind, event = one
    at = MIDNIGHT - timedelta(minutes=ago + 1)
    signed = -pieces if kind == c.RETURN else pieces
    content = {c.EVENT_TYPE: kind, c.QUANTITY: float(signed), c.VALUE: 1.5 * signed, c.ITEM_TEXT: f"A {item}"}
    content |= {c.ITEM_ATTRIBUTES: '{"round": 1}', c.USER_ATTRIBUTES: f'{{"age": {pieces}}}'}
    known = min(at + timedelta(minutes=ago // 2), MIDNIGHT)
    return row(
        f"{shop}{user}",
        f"{shop}{item}",
        "2011-01-01",
        f"{shop}e{event}",
        **content,
        **{
            c.EVENT_AT: at,
            c.INGESTED_AT: known,
            c.SOURCE_FILE: "f",
            c.ROW_ID: f"f:{shop}.{place}",
        },
    )


def _late(place: int, shop: int, one: tuple[str, str, int, int, str, int]) -> Row:
    """Known after the day that features are as of, or from after it."""
    user, item, after, pieces, kind, happened_before = one
    at = MIDNIGHT - timedelta(minutes=after + 1) if happened_before else MIDNIGHT + timedelta(minutes=after)
    known = MIDNIGHT + timedelta(minutes=after + 1) if happened_before else datetime(2011, 1, 1, tzinfo=MIDNIGHT.tzinfo)
    content = {c.EVENT_TYPE: kind, c.QUANTITY: float(pieces), c.VALUE: 1.5 * pieces, c.SEGMENT: "Elsewhere", c.ITEM_TEXT: "Z"}
    content |= {c.ITEM_ATTRIBUTES: '{"sharp": 1}', c.USER_ATTRIBUTES: '{"tall": 1}'}
    return row(
        f"{shop}{user}",
        f"{shop}{item}",
        "2011-01-01",
        f"{shop}l{place}",
        **content,
        **{
            c.EVENT_AT: at,
            c.INGESTED_AT: known,
            c.SOURCE_FILE: "g",
            c.ROW_ID: f"g:{shop}.{place}",
        },
    )


def test_features_ignore_later_rows(spark: SparkSession, storage: Storage) -> None:
    """Random shops with one set of later rows, and with another. A job of Spark takes as long for many shops as for one."""
    random = Random(7)
    drawn = [
        (_draw(random, 1, 12, (1, 9), 50), _draw(random, 0, 8, (-9, 9), 1), _draw(random, 0, 8, (-9, 9), 1))
        for _ in range(SHOPS)
    ]
    made = []
    for which in (1, 2):
        rows = [_early(place, shop, one) for shop, drawing in enumerate(drawn) for place, one in enumerate(drawing[0])]
        rows += [_late(place, shop, one) for shop, drawing in enumerate(drawn) for place, one in enumerate(drawing[which])]
        frame = pd.DataFrame(rows)
        for column in (c.EVENT_AT, c.INGESTED_AT):
            frame[column] = pd.to_datetime(frame[column], utc=True).astype("datetime64[us, UTC]")
        label = f"2010-01-01..2012-01-0{which}"
        ref = storage.publish(use_case=USE_CASE, layer=c.VALIDATED, partition=label, tables={c.ROWS: frame_writer(frame)})
        features = build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, [ref], AS_OF), storage)
        made.append(features.digest)
    assert made[0] == made[1]


def test_training_batch_and_online_features_are_equal(spark: SparkSession, publish: Publish, storage: Storage) -> None:
    rows = [
        row("ann", "mug", "2011-02-01T10:00", "e1"),
        row("ann", "tea", "2011-02-08T10:00", "e2"),
        row("bob", "mug", "2011-02-15T10:00", "e3"),
        row("ann", "pen", "2011-02-27T10:00", "e4"),
    ]
    history, day = [publish(rows)], date(2011, 2, 22)
    parts = split(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, history, AS_OF), ByTime(holdout_days=7), storage, seed=7)
    trained = read_examples(storage, parts.holdout).features
    assert trained is not None
    batch = read_features(storage, build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, history, day), storage))
    newest = storage.newest(USE_CASE, c.FEATURES)
    assert newest is not None
    online = read_features(storage, newest)  # as serving/deployment/store.py reads them
    for user in ("ann", "bob"):
        values = [tables.users.iloc[tables.user_row[user]].to_dict() for tables in (trained, batch, online)]
        pairs = [tables.sorted_pairs.iloc[tables.pairs_of(user)].reset_index(drop=True) for tables in (trained, batch, online)]
        for other in (1, 2):
            pd.testing.assert_series_equal(pd.Series(values[0]), pd.Series(values[other]))
            pd.testing.assert_frame_equal(pairs[0], pairs[other])
    assert "pen" not in set(trained.items[c.ITEM_ID])


# guards


def test_a_split_measures_its_cold_share(spark: SparkSession, publish: Publish, storage: Storage) -> None:
    rows = [
        row("ann", "mug", "2011-02-01T10:00", "e1"),
        row("ann", "mug", "2011-02-08T10:00", "e2"),
        row("ann", "mug", "2011-02-15T10:00", "e3"),
        row("ann", "mug", "2011-02-27T10:00", "e4"),
        row("eve", "pen", "2011-02-27T11:00", "e5"),
    ]
    request = FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SMALL, [publish(rows)], AS_OF)
    parts = split(request, ByTime(holdout_days=7), storage, seed=7)
    assert storage.manifest(parts.holdout)["figures"] == {
        "labels": 2,
        "label_users": 2,
        "cold_users": 0.5,
        "label_items": 2,
        "cold_items": 0.5,
    }
    assert storage.manifest(parts.train)["figures"]["cold_users"] == 0


def test_features_from_after_the_cut_are_refused(
    spark: SparkSession, publish: Publish, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row("ann", "mug", f"2011-02-{day:02}T10:00", f"e{day}") for day in (1, 9, 16, 23)]
    monkeypatch.setattr("tasks.stages.features.parts.known_at", lambda day, *_: F.col(c.EVENT_AT) < midnight(AS_OF))
    with pytest.raises(LeakageFound, match=r"recency_days is -.*features were computed after it"):
        split(
            FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SMALL, [publish(rows)], AS_OF),
            ByTime(holdout_days=7),
            storage,
            seed=7,
        )


@pytest.mark.parametrize("fault", ["target", "twice"])
def test_wrong_tables_are_not_published(fault: str, tmp_path: Path) -> None:
    users = pd.DataFrame({c.USER_ID: ["ann"], "user_recency_days": [1.0], **({c.LABEL: [1.0]} if fault == "target" else {})})
    tables = {
        c.USERS: users,
        c.ITEMS: pd.DataFrame({c.ITEM_ID: ["mug"], "item_recency_days": [1.0]}),
        c.PAIRS: pd.DataFrame({c.USER_ID: ["ann"], c.ITEM_ID: ["mug"], "pair_recency_days": [1.0]}),
        c.LABELS: pd.DataFrame({c.USER_ID: ["ann"] * 2, c.ITEM_ID: ["mug", "mug" if fault == "twice" else "pen"]}),
    }
    for name, frame in tables.items():
        frame_writer(frame)(tmp_path / name)
    message = {"target": "the target is among the features", "twice": "1 labels are duplicates"}[fault]
    with pytest.raises(LeakageFound, match=message):
        inspect_interactions(tmp_path, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(x=frame[c.TARGET] * 2.0 + 1), "feature 'x' has one value for each class"),
        (lambda frame: pd.concat([frame, frame.iloc[:1].assign(**{c.PART: "holdout"})]), "rows r0 are in more than one part"),
        (lambda frame: frame.assign(x=frame["x"] % 4), "10 of 10 rows of the holdout equal a training row cell by cell"),
    ],
    ids=["the target as a feature", "a row in two parts", "copies of training rows"],
)
def test_leaking_tabular_parts_are_refused(change: Any, message: str, spark: SparkSession) -> None:
    frame = pd.DataFrame(
        {
            c.ROW_ID: [f"r{n}" for n in range(40)],
            c.TARGET: [n % 2 for n in range(40)],
            "x": [float(n) for n in range(40)],
            c.PART: ["train"] * 30 + ["holdout"] * 10,
        }
    )
    assert check_rows(spark.createDataFrame(frame), ["x"], 0.05) == {"rows_known_from_training": 0.0}
    with pytest.raises(LeakageFound, match=message):
        check_rows(spark.createDataFrame(change(frame)), ["x"], 0.05)


def test_rows_with_missing_cells_are_no_copies(spark: SparkSession) -> None:
    """Each training row has x, each holdout row has y, and the values are the same."""
    frame = pd.DataFrame(
        {
            c.ROW_ID: [f"r{n}" for n in range(40)],
            c.TARGET: [n % 2 for n in range(40)],
            "x": [float(n % 20) if n < 20 else None for n in range(40)],
            "y": [float(n % 20) if n >= 20 else None for n in range(40)],
            c.PART: ["train"] * 20 + ["holdout"] * 20,
        }
    )
    assert check_rows(spark.createDataFrame(frame), ["x", "y"], 0.0) == {"rows_known_from_training": 0.0}
    copied = frame.assign(x=[float(n % 20) for n in range(40)], y=None)
    with pytest.raises(LeakageFound, match="20 of 20 rows of the holdout equal a training row"):
        check_rows(
            spark.createDataFrame(copied, f"row_id string, target long, x double, y double, {c.PART} string"), ["x", "y"], 0.0
        )
