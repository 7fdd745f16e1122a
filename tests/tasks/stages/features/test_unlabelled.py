"""Rows whose target is not known yet: in the features, in no part of a split. Later deliveries of a row bring its target."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.io.storage import Storage, frame_writer
from tasks.models.base import Examples
from tasks.models.tabular import read_training_rows
from tasks.stages.features import FeatureRequest, FeatureSpec, build_features, split
from tasks.stages.features.spec import ByTime, Stratified
from tests.tasks.stages.features.conftest import USE_CASE, moment

pytestmark = pytest.mark.usefixtures("spark")
START, AS_OF = moment("2026-01-01"), date(2026, 3, 1)


def calls(rows: int, targets: list[int | None], file: str = "a.csv", **columns: Any) -> pd.DataFrame:
    """One row a day; its target is known in the next night, and `targets` is repeated."""
    at = pd.Series([START + timedelta(days=n) for n in range(rows)]).astype("datetime64[us, UTC]")
    return pd.DataFrame(
        {
            c.ROW_ID: [f"{file}:{n}" for n in range(1, rows + 1)],
            c.SOURCE_FILE: file,
            c.EVENT_AT: at,
            c.INGESTED_AT: at,
            c.AS_IT_CAME: "{}",
            c.TARGET: pd.array([targets[n % len(targets)] for n in range(rows)], dtype="Int64"),
            **columns,
            "age": np.arange(rows, dtype=float),
        }
    )


def publish(storage: Storage, *frames: pd.DataFrame) -> list[DatasetRef]:
    return [
        storage.publish(
            use_case=USE_CASE,
            layer=c.VALIDATED,
            partition=f"2026-0{place}-01..2026-0{place + 1}-01",
            tables={c.ROWS: frame_writer(frame)},
        )
        for place, frame in enumerate(frames, start=1)
    ]


def request(history: list[DatasetRef], as_of: date = AS_OF) -> FeatureRequest:
    return FeatureRequest(USE_CASE, TaskKind.CLASSIFICATION, FeatureSpec(), history, as_of)


def test_rows_without_a_target_are_features_and_no_examples(storage: Storage) -> None:
    history = publish(storage, calls(59, [0, 1, None]))
    features = storage.read(build_features(request(history), storage))
    assert len(features) == 59 and features[c.TARGET].isna().sum() == 19
    for kind in (ByTime(holdout_days=14), Stratified()):
        parts = split(request(history), kind, storage, seed=7)
        examples = [storage.read(ref) for ref in (parts.train, parts.validation, parts.holdout)]
        assert sum(map(len, examples)) == 40 and not any(frame[c.TARGET].isna().any() for frame in examples)
        _, _, target = read_training_rows(Examples(rows=examples[0]))
        assert set(target) == {0, 1}


def test_a_split_needs_known_targets(storage: Storage) -> None:
    with pytest.raises(NotEnoughData, match="no row of class 1 among 30 rows with a known target"):
        split(request(publish(storage, calls(59, [0, None]))), ByTime(holdout_days=14), storage, seed=7)
    with pytest.raises(ConfigurationError, match="20 of 59 rows have a target that is neither 0 nor 1"):
        split(request(publish(storage, calls(59, [-1, 1, 0]))), ByTime(holdout_days=14), storage, seed=7)


def test_a_later_delivery_brings_the_target(storage: Storage) -> None:
    """The row keeps its name, its moment and its part. Before the delivery is known, it has no target."""
    names: dict[str, Any] = {c.EVENT_ID: [f"call {n}" for n in range(40)]}
    first = calls(40, [0, 1, 0, 1, None], **names)
    late = pd.Series([datetime(2026, 2, 20, tzinfo=START.tzinfo)] * 40).astype("datetime64[us, UTC]")
    second = calls(40, [0, 1, 0, 1, 1], "b.csv", **names).assign(**{c.EVENT_AT: late, c.INGESTED_AT: late})
    history = publish(storage, first, second[4::5])
    before = storage.read(build_features(request(history, date(2026, 2, 20) - timedelta(days=1)), storage))
    after = storage.read(build_features(request(history), storage))
    for frame, unknown in ((before, 8), (after, 0)):
        assert sorted(frame[c.ROW_ID]) == sorted(names[c.EVENT_ID]) and frame[c.TARGET].isna().sum() == unknown
        assert list(frame.columns) == [c.ROW_ID, c.TARGET, "age"]
    parts = split(request(history, date(2026, 2, 28)), ByTime(holdout_days=25), storage, seed=7)
    assert "call 4" in set(storage.read(parts.train)[c.ROW_ID]), "it happened in January"
