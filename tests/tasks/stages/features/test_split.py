"""Label windows, their features, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.io.storage import Storage, frame_writer
from tasks.models.base import read_examples, read_features
from tasks.stages.features import SPLITS, FeatureRequest, FeatureSpec, build_features, split
from tasks.stages.features.spec import ByTime, Stratified
from tasks.stages.features.vocabulary import Declared
from tests.tasks.stages.features.conftest import USE_CASE, Publish, Row, moment, row

AS_OF = date(2011, 3, 1)
SPEC = FeatureSpec(lookback_days=(7, 28))
BY_WEEK = ByTime(holdout_days=7)  # train from 8 February, validation from 15 February, holdout from 22 February


@pytest.fixture
def weekly_shop() -> list[Row]:
    return [
        row("ann", "mug", "2011-02-01T10:00", "e1", **{c.ITEM_ATTRIBUTES: '{"tin": 1}', c.USER_ATTRIBUTES: '{"young": 1}'}),
        row("ann", "tea", "2011-02-08T00:00", "e2", **{c.ITEM_ATTRIBUTES: '{"paper": 1}'}),
        row("ann", "tea", "2011-02-14T23:59", "e3"),
        row("ann", "mug", "2011-02-15T00:00", "e4"),
        row("bob", "pen", "2011-02-27T10:00", "e5", **{c.ITEM_ATTRIBUTES: '{"steel": 1}', c.ITEM_TEXT: "PEN"}),
        row(None, "mug", "2011-02-26T10:00", "e6"),
        row("ann", "tea", "2011-03-01T00:00", "e7", **{c.INGESTED_AT: moment("2011-02-01T00:00")}),
        row("ann", "mug", "2011-02-28T10:00", "e8", **{c.INGESTED_AT: moment("2011-03-02T00:00")}),
    ]


JOINED = tuple(  # their joins and groups would mix rows of several parts
    Declared(name=f"{of}_{aggregate}", of=of, aggregate=aggregate, days=28)
    for of, aggregate in (("pair", "price_affinity"), ("pair", "co_purchase"), ("item", "distinct_users"), ("user", "orders"))
)


def test_labels_follow_the_features(spark: object, publish: Publish, storage: Storage, weekly_shop: list[Row]) -> None:
    request = FeatureRequest(
        USE_CASE, TaskKind.PROPENSITY, SPEC.model_copy(update={"declared": JOINED}), [publish(weekly_shop)], AS_OF
    )
    parts = split(request, BY_WEEK, storage, seed=7)
    labels = {name: read_examples(storage, getattr(parts, name)).labels for name in ("train", "validation", "holdout")}
    found = {name: list(frame.itertuples(index=False, name=None)) for name, frame in labels.items() if frame is not None}
    assert found == {
        "train": [("ann", "tea", 1.0)],
        "validation": [("ann", "mug", 1.0)],
        "holdout": [("bob", "pen", 1.0)],  # a cold user and a cold item stay; rows after as_of do not
    }
    assert storage.manifest(parts.holdout)["facts"]["window"] == "2011-02-22..2011-03-01"

    alone = build_features(replace(request, as_of=date(2011, 2, 22)), storage)
    for mine, theirs in zip(
        vars(read_features(storage, parts.holdout)).values(), vars(read_features(storage, alone)).values(), strict=True
    ):
        pd.testing.assert_frame_equal(mine, theirs)
    attributes = [
        [
            str(name).removeprefix(c.ITEM_ATTRIBUTE)
            for name in read_features(storage, part).items
            if str(name).startswith(c.ITEM_ATTRIBUTE)
        ]
        for part in (parts.train, parts.validation, parts.holdout)
    ]
    assert attributes == [["tin"], ["paper", "tin"], ["paper", "tin"]], "each part has the columns that were known in it"


def test_earlier_windows_reach_back_to_the_history(
    spark: object, publish: Publish, storage: Storage, weekly_shop: list[Row]
) -> None:
    older = [row("ann", "tea", "2011-01-24T10:00", "e0"), row("bob", "tea", "2011-01-17T10:00", "e9")]
    history = [publish([*weekly_shop, *older])]
    given = (FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, history, AS_OF), BY_WEEK, storage)
    parts = split(*given, seed=7, earlier=5)
    windows = [storage.manifest(ref)["facts"]["window"] for ref in parts.before_holdout]
    starts = [window[:10] for window in windows]
    assert starts == ["2011-01-18", "2011-02-01", "2011-02-08", "2011-02-15"], "no purchase in the week from 25 January"
    assert split(*given, seed=7, earlier=5) == parts
    plain = split(*given, seed=7)
    assert plain == parts.model_copy(update={"earlier": ()}) and plain.digest == parts.digest
    labels = read_examples(storage, parts.earlier[0]).labels
    assert labels is not None and labels[c.ITEM_ID].tolist() == ["mug"]


def test_ratings_keep_the_last_one(spark: object, publish: Publish, storage: Storage) -> None:
    rated = {c.EVENT_TYPE: c.RATING}
    days = ["2011-02-01", "2011-02-09", "2011-02-16", "2011-02-23"]
    rows = [row("ann", "heat", f"{day}T10:00", day, **rated, **{c.VALUE: 1.0 + i}) for i, day in enumerate(days)]
    rows.append(row("ann", "heat", "2011-02-24T10:00", "again", **rated, **{c.VALUE: 5.0}))
    parts = split(FeatureRequest(USE_CASE, TaskKind.RATING, SPEC, [publish(rows)], AS_OF), BY_WEEK, storage, seed=7)
    labels = read_examples(storage, parts.holdout).labels
    assert labels is not None
    assert labels[c.LABEL].tolist() == [5.0]


def test_an_empty_window_is_refused_by_name(spark: object, publish: Publish, storage: Storage, weekly_shop: list[Row]) -> None:
    without = [r for r in weekly_shop if r[c.EVENT_ID] != "e4"]
    with pytest.raises(NotEnoughData, match=r"validation window 2011-02-15\.\.2011-02-22 has no purchase"):
        split(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, [publish(without)], AS_OF), BY_WEEK, storage, seed=7)
    with pytest.raises(NotEnoughData, match="nothing was known before 2011-02-08"):
        split(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, [publish(weekly_shop[1:])], AS_OF), BY_WEEK, storage, seed=7)
    with pytest.raises(NotEnoughData, match="no validated snapshot"):
        split(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, [], AS_OF), BY_WEEK, storage, seed=7)
    assert not list(storage.root.glob("*/examples/*/CURRENT")), "nothing was published"


def test_a_repeated_build_needs_no_spark(
    spark: object, publish: Publish, storage: Storage, weekly_shop: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    history = [publish(weekly_shop)]
    first_split = split(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, history, AS_OF), BY_WEEK, storage, seed=7)
    first = build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, history, AS_OF), storage)

    def refuse(*_: Any) -> None:
        raise AssertionError("a Spark session was started")

    monkeypatch.setattr("tasks.io.spark.get_spark", refuse)
    assert build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, history, AS_OF), storage) == first
    assert split(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, SPEC, history, AS_OF), BY_WEEK, storage, seed=7) == first_split
    with pytest.raises(AssertionError, match="Spark session"):  # other settings are other features
        build_features(FeatureRequest(USE_CASE, TaskKind.PROPENSITY, FeatureSpec(), history, AS_OF), storage)


# tabular


def tumours(storage: Storage, file: str, window: str, rows: int = 80) -> DatasetRef:
    at = pd.Timestamp("2026-01-01", tz="UTC").as_unit("us")
    frame = pd.DataFrame(
        {
            c.ROW_ID: [f"{file}:{i}" for i in range(rows)],
            c.SOURCE_FILE: file,
            c.EVENT_AT: at,
            c.INGESTED_AT: at,
            c.AS_IT_CAME: "{}",
            "mean radius": [i + len(file) * ord(file[0]) / 7 for i in range(rows)],
            c.TARGET: [int(i % 4 == 0) for i in range(rows)],
        }
    )
    return storage.publish(use_case=USE_CASE, layer=c.VALIDATED, partition=window, tables={c.ROWS: frame_writer(frame)})


def split_tumours(storage: Storage, history: list[DatasetRef]) -> dict[str, pd.DataFrame]:
    spec = Stratified(validation_share=0.2, holdout_share=0.25)
    parts = split(
        FeatureRequest(USE_CASE, TaskKind.CLASSIFICATION, FeatureSpec(), history, date(2026, 2, 1)), spec, storage, seed=7
    )
    names = ("train", "validation", "holdout")
    return {name: storage.read(getattr(parts, name)) for name in names}


def test_stratified_rows_keep_their_part(spark: object, storage: Storage) -> None:
    first = tumours(storage, "a.csv", "2026-01-01..2026-01-02")
    parts = split_tumours(storage, [first])
    assert {name: len(frame) for name, frame in parts.items()} == {"train": 44, "validation": 16, "holdout": 20}
    assert {name: int(frame[c.TARGET].sum()) for name, frame in parts.items()} == {"train": 11, "validation": 4, "holdout": 5}
    assert list(parts["train"].columns) == [c.ROW_ID, c.TARGET, "mean radius"]
    more = split_tumours(storage, [first, tumours(storage, "b.csv", "2026-01-02..2026-01-03")])
    for name, frame in parts.items():
        assert set(frame[c.ROW_ID]) <= set(more[name][c.ROW_ID]), "a row stays in its part when later files arrive"


def test_tabular_features_ignore_later_rows(spark: object, storage: Storage) -> None:
    history = [tumours(storage, "a.csv", "2026-01-01..2026-01-02")]
    request = FeatureRequest(USE_CASE, TaskKind.CLASSIFICATION, FeatureSpec(), history, date(2026, 1, 2))
    assert build_features(request, storage).rows == {c.ROWS: 80}
    with pytest.raises(NotEnoughData, match="nothing was known before 2026-01-01"):
        build_features(replace(request, as_of=date(2026, 1, 1)), storage)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="allowed: by_group, by_order, by_time, rolling, stratified"):
        SPLITS.parse({"kind": "random"}, "case.yaml: split")
    with pytest.raises(ConfigurationError, match=r"at least 0\.1 for training"):
        SPLITS.parse({"kind": "stratified", "validation_share": 0.5, "holdout_share": 0.5}, "case.yaml: split")
    with pytest.raises(ValueError, match="the shortest first"):
        FeatureSpec(lookback_days=(28, 7))
