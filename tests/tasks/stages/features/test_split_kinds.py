"""Kinds of splits: shares and days in time, file order, groups, rolling cuts and named test sets."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.errors import ConfigurationError, LeakageFound, NotEnoughData
from tasks.io.storage import Storage, frame_writer
from tasks.stages.features import SPLITS, FeatureRequest, FeatureSpec, split
from tasks.stages.features.builders import builder_of, cut_windows
from tasks.stages.features.spec import SplitSpec
from tests.tasks.stages.features.conftest import USE_CASE

AS_OF = date(2026, 2, 1)
PARTS = ("train", "validation", "holdout")


def parse(**settings: Any) -> SplitSpec:
    return SPLITS.parse(settings, "case.yaml: split")


def days_of(windows: dict[str, Any]) -> dict[str, str]:
    return {part: window.label for part, window in windows.items()}


def test_windows_may_have_different_lengths() -> None:
    spec = parse(kind="by_time", holdout_days=7, validation_days=14, train_days=28)
    assert days_of(cut_windows(spec, date(2011, 3, 1), earlier=1)) == {
        "train": "2011-01-11..2011-02-08",
        "validation": "2011-02-08..2011-02-22",
        "holdout": "2011-02-22..2011-03-01",
        "earlier_1": "2010-12-14..2011-01-11",
    }
    assert days_of(cut_windows(parse(kind="by_time"), date(2011, 3, 1)))["train"] == "2010-12-07..2011-01-04", "28 days each"


def windows_of(spec: SplitSpec, *labels: str, task: TaskKind = TaskKind.RECOMMENDATION) -> dict[str, str]:
    history = [
        DatasetRef(use_case=USE_CASE, layer=c.VALIDATED, partition=label, version="0" * 16, digest="0" * 64, rows={c.ROWS: 1})
        for label in labels
    ]
    request = FeatureRequest(USE_CASE, task, FeatureSpec(), history, date(2011, 4, 11))
    return days_of(dict(builder_of(request).cut(spec, 0)[1]))


def test_shares_of_the_history_become_days() -> None:
    spec = parse(kind="by_time", holdout_share=0.1, validation_share=0.2)
    found = windows_of(spec, "2011-01-01..2011-01-02", "2011-04-10..2011-04-11")  # 100 days
    assert found == {
        "train": "2011-03-02..2011-03-12",
        "validation": "2011-03-12..2011-04-01",
        "holdout": "2011-04-01..2011-04-11",
    }
    with pytest.raises(NotEnoughData, match=r"span 5 days; of these, .*\(0.2, 0.1\) are less than a day"):
        windows_of(spec, "2011-04-06..2011-04-11")


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"kind": "by_time", "holdout_days": 7, "holdout_share": 0.2},
        "not both: got holdout_share and holdout_days",
    ),
    ({"kind": "by_time", "validation_share": 0.2}, "validation_share stands beside holdout_share"),
    ({"kind": "by_time", "holdout_share": 0.6}, r"at least 0\.1 for training"),
    ({"kind": "rolling", "cuts": 1}, "greater than or equal to 2"),
    ({"kind": "by_group"}, "group_by: missing"),
    (
        {"kind": "by_order", "test_sets": {"night": {}}},
        "test_sets.night: .*at least one of where, files, first_day",
    ),
    ({"kind": "by_order", "test_sets": {"Night": {"files": "*"}}}, "test_sets.Night"),
    (
        {"kind": "by_order", "test_sets": {"old": {"first_day": "2026-02-01", "last_day": "2026-01-01"}}},
        "first_day 2026-02-01 is after last_day 2026-01-01",
    ),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(**settings)


UNFIT: list[tuple[dict[str, Any], TaskKind, str]] = [
    ({"kind": "by_group", "group_by": "a"}, TaskKind.RATING, "split 'by_group' is for classification; the task is rating"),
    ({"kind": "by_time", "test_sets": {"one": {"files": "*"}}}, TaskKind.RATING, "only rows have test sets"),
    ({"kind": "by_time", "holdout_share": 0.2}, TaskKind.PROPENSITY, "state holdout_days"),
    (
        {"kind": "by_time", "holdout_days": 7, "validation_days": 14},
        TaskKind.PROPENSITY,
        r"validation_days \(14\) must equal holdout_days \(7\)",
    ),
]


@pytest.mark.parametrize(("settings", "task", "message"), UNFIT)
def test_a_split_that_does_not_fit_the_task_is_refused(settings: dict[str, Any], task: TaskKind, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(**settings).check_task(task)


def test_windows_of_different_lengths_fit_lists_and_ratings() -> None:
    spec = parse(kind="by_time", holdout_days=7, validation_days=14)
    for task in (TaskKind.RECOMMENDATION, TaskKind.RATING, TaskKind.CLASSIFICATION):
        spec.check_task(task)


# rows


@pytest.fixture
def clinics(storage: Storage) -> DatasetRef:
    """A row each hour in two files of 60 rows each, of patients who each have six rows in a file."""
    numbers = list(range(120))
    frame = pd.DataFrame(
        {
            c.ROW_ID: [f"{'ab'[n // 60]}.csv:{n % 60 + 1}" for n in numbers],
            c.SOURCE_FILE: [f"{'ab'[n // 60]}.csv" for n in numbers],
            c.EVENT_AT: pd.date_range("2026-01-01", periods=120, freq="h", tz="UTC").as_unit("us"),
            c.INGESTED_AT: pd.Timestamp("2026-01-01", tz="UTC").as_unit("us"),
            c.AS_IT_CAME: "{}",
            "patient": [f"p{n // 60}{n % 60 // 6}" for n in numbers],
            "radius": [float(n) for n in numbers],
            c.TARGET: [n % 2 for n in numbers],
        }
    )
    return storage.publish(
        use_case=USE_CASE, layer=c.VALIDATED, partition="2026-01-01..2026-01-06", tables={c.ROWS: frame_writer(frame)}
    )


def cut(storage: Storage, clinics: DatasetRef, **settings: Any) -> tuple[Split, dict[str, pd.DataFrame]]:
    request = FeatureRequest(USE_CASE, TaskKind.CLASSIFICATION, FeatureSpec(known_by="event_at"), [clinics], AS_OF)
    parts = split(request, parse(**settings), storage, seed=7)
    refs = {**{part: getattr(parts, part) for part in PARTS}, **parts.tests}
    return parts, {part: storage.read(ref).sort_values("radius") for part, ref in refs.items()}


def spans(parts: dict[str, pd.DataFrame]) -> dict[str, tuple[float, float, int]]:
    return {part: (frame["radius"].min(), frame["radius"].max(), len(frame)) for part, frame in parts.items()}


def test_rows_are_cut_by_time_in_days_or_shares(spark: object, storage: Storage, clinics: DatasetRef) -> None:
    by_share = {"kind": "by_time", "holdout_share": 0.25, "validation_share": 0.1}
    _, parts = cut(storage, clinics, **by_share)
    assert spans(parts) == {"train": (0, 77, 78), "validation": (78, 89, 12), "holdout": (90, 119, 30)}
    order = parts["train"][c.SPLIT_ORDER]
    assert order.is_monotonic_increasing and order.iloc[1] - order.iloc[0] == 3_600_000_000, "the moment, in microseconds"
    request = FeatureRequest(USE_CASE, TaskKind.CLASSIFICATION, FeatureSpec(known_by="event_at"), [clinics], date(2026, 1, 6))
    days = split(request, parse(kind="rolling", holdout_days=1, validation_days=2, train_days=1), storage, seed=7)
    found = {part: storage.read(getattr(days, part)) for part in PARTS}
    assert spans(found) == {"train": (24, 47, 24), "validation": (48, 95, 48), "holdout": (96, 119, 24)}
    assert storage.manifest(days.validation)["facts"]["window"] == "2026-01-03..2026-01-05"


def test_rows_of_one_moment_stay_together(spark: object, storage: Storage, clinics: DatasetRef) -> None:
    rows = storage.read(clinics).assign(event_at=lambda frame: frame[c.EVENT_AT].dt.floor("D"))
    rows[c.EVENT_AT] = rows[c.EVENT_AT].dt.as_unit("us")
    daily = storage.publish(
        use_case=USE_CASE, layer=c.VALIDATED, partition="2026-01-01..2026-01-06", tables={c.ROWS: frame_writer(rows)}
    )
    _, parts = cut(storage, daily, kind="by_time", holdout_share=0.25, validation_share=0.25)
    assert {part: len(frame) % 24 for part, frame in parts.items()} == dict.fromkeys(PARTS, 0), "whole days"


def test_rows_are_cut_in_the_order_of_the_files(spark: object, storage: Storage, clinics: DatasetRef) -> None:
    parts, tables = cut(storage, clinics, kind="by_order", holdout_share=0.25, validation_share=0.25)
    assert spans(tables) == {"train": (0, 59, 60), "validation": (60, 89, 30), "holdout": (90, 119, 30)}
    assert tables["train"][c.SPLIT_ORDER].is_monotonic_increasing, "the tenth row follows the ninth"
    assert "split" in storage.manifest(parts.train)["facts"]


def test_a_group_is_in_one_part(spark: object, storage: Storage, clinics: DatasetRef) -> None:
    _, tables = cut(storage, clinics, kind="by_group", group_by="patient", holdout_share=0.3, validation_share=0.2)
    groups = {part: set(frame[c.SPLIT_GROUP]) for part, frame in tables.items()}
    assert {part: len(names) for part, names in groups.items()} == {"train": 10, "validation": 4, "holdout": 6}
    assert len(set.union(*groups.values())) == 20
    assert list(tables["train"].columns) == [c.ROW_ID, c.TARGET, c.SPLIT_GROUP, "radius"], "the group is no feature"
    with pytest.raises(ConfigurationError, match=r"no column 'ward'; allowed: patient, radius"):
        cut(storage, clinics, kind="by_group", group_by="ward")
    with pytest.raises(NotEnoughData, match=r"the validation part has no row of class 0 .* each part gets whole groups"):
        cut(storage, clinics, kind="by_group", group_by="patient", validation_share=0.001)


def test_test_sets_are_set_aside_by_name(spark: object, storage: Storage, clinics: DatasetRef) -> None:
    sets = {
        "first_patients": {"where": {"patient": ["p00", "p01"]}},
        "clinic_b": {"files": "b*", "last_day": "2026-01-03"},
        "late": {"first_day": "2026-01-05", "last_day": "2026-01-31"},
    }
    parts, tables = cut(storage, clinics, kind="by_group", group_by="patient", test_sets=sets)
    assert set(parts.tests) == set(sets)
    assert {name: spans(tables)[name] for name in sets} == {
        "first_patients": (0, 11, 12),
        "clinic_b": (60, 71, 12),
        "late": (96, 119, 24),
    }
    assert sum(len(frame) for frame in tables.values()) == 120
    names = [set(frame[c.ROW_ID]) for frame in tables.values()]
    assert len(set.union(*names)) == 120, "no row is in two parts"
    again, _ = cut(storage, clinics, kind="by_group", group_by="patient", test_sets=sets)
    assert again == parts
    with pytest.raises(LeakageFound, match="groups p00 have rows in more than one part"):
        cut(storage, clinics, kind="by_group", group_by="patient", test_sets={"half": {"where": {"radius": [0, 1, 2]}}})
    with pytest.raises(NotEnoughData, match="test set 'none' has no row among 120 known rows"):
        cut(storage, clinics, kind="by_order", test_sets={"none": {"files": "c*"}})
    with pytest.raises(ConfigurationError, match=r"test_sets\.none\.where: the rows have no column 'ward'"):
        cut(storage, clinics, kind="by_order", test_sets={"none": {"where": {"ward": 1}}})
