"""The checks on samples with known distributions, counted by a real Spark and shown by a real Evidently."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon

from tasks.columns import ITEM_ID, PREDICTION, QUANTITY, ROW_ID, SEGMENT, UNIT_PRICE
from tasks.contracts.monitoring import CheckResult, Signal
from tasks.contracts.predictions import AnswerPath
from tasks.errors import ConfigurationError
from tasks.stages.monitoring import in_memory, in_spark
from tasks.stages.monitoring.bins import MISSING, NEW, OTHER, cut_into_bins
from tasks.stages.monitoring.checks import CHECKS
from tasks.stages.monitoring.checks.base import Counts
from tasks.stages.monitoring.checks.distributions import ColumnDrift, measure_distance
from tasks.stages.monitoring.checks.faults import find_rescaling
from tasks.stages.monitoring.judging import judge, render_evidently
from tests.tasks.stages.monitoring.check_examples import find_check_examples
from tests.tasks.stages.monitoring.samples import (
    COLUMNS,
    DISTANCES,
    METHODS,
    WEEK,
    Windows,
    make_rows,
    make_windows,
    repeat_rows,
    to_spark,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BROKEN_TWINS = find_check_examples()
FAULTS = ("unit_change", "missing_values", "missing_days", "volume", "doubled_rows", "frozen_rows")


def make_checks(*kinds: str, **changed: Any) -> list[Any]:
    """The checks of some kinds, those of distances once for each method."""
    made = []
    for kind in kinds:
        for method in METHODS if kind in DISTANCES else (None,):
            extra = {"method": method} if method else {}
            made.append(CHECKS.parse({"kind": kind, **BROKEN_TWINS[kind].config, **extra, **changed}, "here"))
    return made


def violated(results: tuple[CheckResult, ...]) -> list[tuple[str, str, float]]:
    return [(result.check, result.column, result.value) for result in results if result.violated]


def test_every_kind_has_a_broken_twin() -> None:
    assert set(BROKEN_TWINS) == set(CHECKS.kinds), "add tests/tasks/stages/monitoring/checks/test_<kind>.py"


@pytest.mark.parametrize("rows", [2_000, 12_000, 120_000])
def test_verdicts_are_the_same_however_many_rows_there_are(rows: int) -> None:
    calm = make_windows(rows)
    everything = make_checks(*CHECKS.kinds)
    quiet = judge(everything, calm.gather(everything))
    assert violated(quiet) == [] and not [result for result in quiet if result.note]
    for kind, twin in BROKEN_TWINS.items():
        checks = make_checks(kind)
        broken = judge(checks, twin.broken(calm).gather(checks))
        assert [result.violated for result in broken] == [True] * len(broken), (kind, broken)
        expected = {"label_drift": Signal.LABEL_SHIFT, "bound": Signal.QUALITY}.get(kind, Signal.DRIFT)
        assert {result.signal for result in broken} == {Signal.FAULT if kind in FAULTS else expected}


def test_fault_checks_separate_faults_from_drift() -> None:
    """Other tastes and more export move every column, and no fault check may take that for broken data."""
    faults = make_checks(*FAULTS)
    calm = make_windows(4_000)
    moved = make_rows(1_000, 3, tastes=200, export=0.5, start=calm.current["event_at"].dt.date.min(), days=7)
    moved[UNIT_PRICE] = moved[UNIT_PRICE] * 0.6 + 4  # dearer, and closer together
    assert violated(judge(faults, calm.changed(current=moved).gather(faults))) == []


@pytest.mark.parametrize("rows", [100, 400])
def test_few_rows_alone_are_no_drift(rows: int) -> None:
    """Fresh samples of the same distribution, as few as the checks accept, against a large reference."""
    checks = make_checks(*DISTANCES)
    for seed in range(2, 5):
        calm = make_windows(20_000).changed(current=make_rows(rows, seed), scores=make_windows(4 * rows, seed).scores)
        assert violated(judge(checks, calm.gather(checks))) == []


def test_spark_counts_what_pandas_counts(spark: SparkSession) -> None:
    """Two implementations of the same figures; here the samples are all rows."""
    calm = make_windows(4_000)
    assert calm.previous is not None
    doubled = pd.concat([calm.current, repeat_rows(calm.current[:100]), repeat_rows(calm.previous[:300], 7)], ignore_index=True)
    for changed in (calm, BROKEN_TWINS["column_drift"].broken(calm), calm.changed(current=doubled)):
        checks = make_checks("column_drift", "prediction_drift", "volume")
        ours, theirs = changed.gather(checks), changed.gather(checks, spark)
        assert ours.days == theirs.days and ours.doubled == pytest.approx(theirs.doubled)
        assert ours.repeated == pytest.approx(theirs.repeated) and ours.repeated[0] > 500
        for where, counted in ours.counts.items():
            tables = [
                {name: sides for name, *sides in zip(one.names, one.reference, one.current, strict=True) if any(sides)}
                for one in (counted, theirs.counts[where])
            ]
            assert tables[0] == tables[1], where


def test_rows_with_other_missing_cells_are_not_doubled(spark: SparkSession) -> None:
    rows = pd.DataFrame({ROW_ID: ["a", "b", "c"], "x": [1.0, None, 1.0], "y": [None, 1.0, None]})
    frame = spark.createDataFrame(rows, f"{ROW_ID} string, x double, y double")
    one, other = in_memory.share_doubled(rows), in_spark.share_doubled(frame)
    assert one == other == pytest.approx(1 / 3)
    before, now = rows[:1], rows[1:2]
    sides = [spark.createDataFrame(side, frame.schema) for side in (before, now)]
    assert in_memory.share_repeated(before, now) == in_spark.share_repeated(*sides) == (1, 0.0)
    assert in_memory.share_repeated(before, rows[2:]) == (1, 1.0)


def test_spark_and_pandas_measure_the_same_of_answers(spark: SparkSession) -> None:
    """Of ten users three are cold: one gets similar items, one what is popular in a segment, one what is popular."""
    rows = make_rows(500, 1)
    answers = pd.DataFrame(
        {
            "row_id": [f"r{n % 90}" for n in range(100)],
            "subject": [f"u{n % 10}" for n in range(100)],
            ITEM_ID: [rows[ITEM_ID][n] for n in range(100)],
            "path": [list(AnswerPath)[n % 10].value if n % 10 < 6 else "model" for n in range(100)],
            PREDICTION: [np.nan, np.inf, *[0.5] * 98],
        }
    )
    expected = {"answers": 100, "subjects": 10, "cold_share": 0.3, "invalid_share": 0.02, "doubled_answer_share": 0.1}
    ours = in_memory.measure_predictions(answers, rows)
    assert {name: ours[name] for name in expected} == pytest.approx(expected)
    assert in_spark.measure_predictions(to_spark(spark, answers), to_spark(spark, rows)) == pytest.approx(ours)
    assert in_spark.measure_predictions(to_spark(spark, answers[:0]), to_spark(spark, rows)) == {}


@pytest.mark.parametrize(
    ("paths", "share"),
    [
        (["model", "published", "fold_in", "model"], 0.0),
        (["model", "model", "popular", "model"], 0.25),
        (["popular_in_segment", "similar", "fold_in", "popular"], 0.75),
    ],
)
def test_cold_share_counts_every_cold_path(spark: SparkSession, paths: list[str], share: float) -> None:
    """A subject is cold if at least one of its answers came without the model: the first subject always has a second answer."""
    answers = pd.DataFrame(
        {
            "row_id": [f"r{n}" for n in range(5)],
            "subject": ["u0", "u1", "u2", "u3", "u0"],
            ITEM_ID: "i",
            "path": [*paths, "model"],
            PREDICTION: 0.5,
        }
    )
    assert in_memory.measure_predictions(answers, answers[[ROW_ID]])["cold_share"] == share
    assert in_spark.measure_predictions(to_spark(spark, answers), to_spark(spark, answers[[ROW_ID]]))["cold_share"] == share


def test_distances_have_known_answers() -> None:
    """Shares of 50/50 against 80/20, by the formulas and by scipy."""
    counts = Counts(("a", "b"), (500, 500), (800, 200))
    assert measure_distance(counts, "psi") == pytest.approx(0.3 * np.log(1.6) + 0.3 * np.log(2.5))
    assert measure_distance(counts, "jensenshannon") == pytest.approx(jensenshannon([0.5, 0.5], [0.8, 0.2]))
    disjoint = Counts(("a", "b"), (9, 0), (0, 9))
    assert measure_distance(disjoint, "jensenshannon") == pytest.approx(np.log(2) ** 0.5)
    assert measure_distance(disjoint, "psi") == pytest.approx(2 * (1 - 1e-4) * np.log(1e4))
    assert measure_distance(Counts(("a",), (0,), (9,)), "psi") == 0


def test_evidently_computes_the_same_values() -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    calm = make_windows(4_000)
    calm = calm.changed(current=BROKEN_TWINS["column_drift"].broken(calm).current)
    checks = make_checks("column_drift")
    seen = calm.gather(checks)
    cut = {column: cut_into_bins(*seen.samples["rows", column]) for column in COLUMNS}
    before, now = (
        Dataset.from_pandas(pd.DataFrame({n: s[side] for n, s in cut.items()}), DataDefinition(categorical_columns=list(cut)))
        for side in (0, 1)
    )
    for check in checks:
        metrics = (
            Report([ValueDrift(column=column, method=check.method) for column in COLUMNS]).run(now, before).dict()["metrics"]
        )
        theirs = {entry["config"]["column"]: float(entry["value"]) for entry in metrics}
        for result in check.judge(seen):
            assert result.value == pytest.approx(theirs[result.column], rel=1e-3), (check.method, result.column)
    page = render_evidently(checks, seen)
    assert "<body>" in page and "quantity (jensenshannon)" in page
    assert render_evidently(make_checks("volume"), seen) == ""


def test_too_few_rows_are_told_and_not_judged() -> None:
    checks = make_checks("column_drift", "unit_change")
    calm = make_windows(1_200).changed(current=make_rows(49, 2, prices=9.0))
    results = judge(checks, calm.gather(checks))
    assert violated(results) == []
    assert {result.note for result in results} == {
        "not judged: 49 users, events or rows in the window, 50 needed",
        "not judged: fewer than 100 numbers",
    }
    assert max(result.value for result in results) > 0.2


def test_too_few_values_are_not_judged() -> None:
    checks = make_checks("prediction_drift")
    seen = Windows(reference=make_rows(0, 1), current=make_rows(0, 2)).gather(checks)
    results = judge(checks, seen)
    assert [(r.value, r.violated, r.note) for r in results] == [
        (0, False, "not judged: 0 users, events or rows in the window, 50 needed")
    ] * 2
    assert render_evidently(checks, seen) == ""


def test_each_column_has_its_own_threshold() -> None:
    check = ColumnDrift(columns=(UNIT_PRICE, QUANTITY), method="psi", threshold=0.2, thresholds={UNIT_PRICE: 50.0})
    moved = BROKEN_TWINS["column_drift"].broken(make_windows(1_200))
    results = judge([check], moved.gather([check]))
    assert [result.violated for result in results] == [False, True]
    assert results[0].threshold == 50 and 0.2 <= results[1].threshold < 0.4, "the threshold, and what chance adds"


ODD = {
    "below what was nearly constant": ([1.0] * 190 + [50.0] * 10, [1.0] * 150 + [-3.0] * 50),
    "above what was nearly constant": ([0.0] * 190 + [-5.0] * 10, [0.0] * 150 + [9.0] * 50),
    "beside what was constant": ([3.0] * 200, [3.0] * 150 + [3.5] * 50),
    "missing": (list(range(200)), [*range(150), *[np.nan] * 50]),
    "a new category": (["a", "b"] * 100, ["a", "b", "c", "c"] * 50),
    "numbers that differ late": ([1_234_567.0, 1.5] * 100, [1_234_568.0, 1.5] * 100),
    "a claim": ([True, False] * 100, [True, True, True, False] * 50),
    "no longer missing": ([np.nan] * 200, [1.0] * 200),
}


def test_drift_of_unusual_columns_is_detected() -> None:
    ids = {ROW_ID: [str(n) for n in range(200)], "event_at": pd.Timestamp("2011-02-01", tz="UTC")}
    before, now = (pd.DataFrame({**ids, **{name: sides[side] for name, sides in ODD.items()}}) for side in (0, 1))
    checks = [ColumnDrift(columns=tuple(ODD), method=method, threshold=0.15) for method in METHODS]
    for result in judge(checks, Windows(before, now).gather(checks)):
        assert result.violated, result
    for result in judge(checks, Windows(before, before).gather(checks)):
        assert result.value == pytest.approx(0, abs=1e-9), result


def test_bins_are_few_and_cover_everything() -> None:
    reference, current = make_rows(20_000, 1), make_rows(3_000, 2)
    for column, most in ((UNIT_PRICE, 10), (QUANTITY, 10), (ITEM_ID, 52), (SEGMENT, 4)):
        before, now = cut_into_bins(reference[column], current[column])
        assert len(before) == len(reference) and len(now) == len(current)
        assert not before.isna().any() and not now.isna().any()
        assert before.nunique() <= most
    items = cut_into_bins(reference[ITEM_ID], current[ITEM_ID])[1]
    assert {OTHER, NEW} < set(items) and MISSING not in set(items)
    assert MISSING in set(cut_into_bins(reference[SEGMENT], current[SEGMENT])[1])


def test_a_sample_depends_on_the_seed_and_not_on_row_order(spark: SparkSession) -> None:
    rows = make_rows(3_000, 1)
    shuffled = rows.sample(frac=1, random_state=3)
    sides: tuple[tuple[Any, Callable[[pd.DataFrame], Any]], ...] = (
        (in_memory, lambda one: one),
        (in_spark, lambda one: to_spark(spark, one)),
    )
    for by, frame in sides:
        first = by.take_sample(frame(rows), [UNIT_PRICE], seed=7, most=500, span=WEEK)
        pd.testing.assert_frame_equal(first, by.take_sample(frame(shuffled), [UNIT_PRICE], seed=7, most=500, span=WEEK))
        assert len(first) == 500
        assert set(first[ROW_ID]) != set(by.take_sample(frame(rows), [UNIT_PRICE], seed=8, most=500, span=WEEK)[ROW_ID])


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        pytest.param(lambda x: 100 * x, 100, id="pence"),
        pytest.param(lambda x: x / 1.609344, 1.609344, id="miles"),
        pytest.param(lambda x: x, 1, id="nothing"),
        pytest.param(lambda x: x + 5, 1, id="moved"),
        pytest.param(lambda x: x**1.5, 1, id="bent"),
        pytest.param(lambda x: 0 * x + 3, 1, id="constant"),
    ],
)
def test_only_a_pure_change_of_scale_is_another_unit(change: Any, factor: float) -> None:
    lengths = np.random.default_rng(1).gamma(6, 2, 5_000)
    assert find_rescaling(lengths[:2_500], change(lengths[2_500:]), misfit=0.05) == pytest.approx(factor, rel=0.05)


def test_pieces_that_jump_are_no_other_unit() -> None:
    """As in the real invoices: a few more large orders double the median number of pieces."""
    random = np.random.default_rng(1)
    few = np.array([1.0, 2, 3, 4, 6, 8, 12, 24])
    before = random.choice(few, 5_000, p=[0.32, 0.17, 0.09, 0.08, 0.1, 0.05, 0.14, 0.05])
    now = random.choice(few, 5_000, p=[0.24, 0.15, 0.1, 0.09, 0.12, 0.06, 0.18, 0.06])
    assert np.median(now) / np.median(before) >= 4 / 3
    assert find_rescaling(before, now, misfit=0.05) == 1
    assert find_rescaling(before, before * 12, misfit=0.05) == pytest.approx(12), "dozens in the place of pieces"


def test_unknown_columns_and_methods_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"here\.method: .*'psi' or 'jensenshannon'.*'ks'"):
        CHECKS.parse({"kind": "column_drift", "columns": list(COLUMNS), "method": "ks", "threshold": 0.1}, "here")
    with pytest.raises(ConfigurationError, match="no drift check of kind 'drift'; allowed: bound, column_drift, doubled_rows"):
        CHECKS.parse({"kind": "drift"}, "here")
    with pytest.raises(ConfigurationError, match="set either at_least or at_most"):
        CHECKS.parse({"kind": "bound", "figure": "dcg"}, "here")


def test_a_figure_that_was_not_measured_is_not_judged() -> None:
    checks = make_checks("bound", figure="hit_rate")
    (result,) = judge(checks, make_windows(1_200).gather(checks))
    assert (result.violated, result.note) == (False, "not judged: not measured in this window")
    assert PREDICTION not in result.column
