"""The checks on samples with known distributions, through a real Evidently run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon

from tasks.columns import ITEM_ID, PREDICTION, QUANTITY, ROW_ID, SEGMENT, UNIT_PRICE
from tasks.monitoring.bins import MISSING, NEW, OTHER, cut_into_bins
from tasks.monitoring.checks import CHECKS, ColumnDrift, DriftCheck
from tasks.monitoring.drift import measure_drift
from tasks.monitoring.report import take_sample
from tests.tasks.monitoring.samples import BROKEN_TWINS, COLUMNS, THRESHOLDS, make_rows, make_scores

METHODS = tuple(THRESHOLDS)


def make_check(kind: str, method: str) -> DriftCheck:
    check = CHECKS.parse({**BROKEN_TWINS[kind].config, "method": method, "threshold": THRESHOLDS[method]}, "here")
    assert isinstance(check, DriftCheck)
    return check


def sampled(frame: pd.DataFrame) -> pd.DataFrame:
    return take_sample(frame, seed=7, most=20_000)


def test_every_kind_has_a_broken_twin() -> None:
    assert set(BROKEN_TWINS) == set(CHECKS.kinds)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", sorted(CHECKS.kinds))
@pytest.mark.parametrize("rows", [1_000, 10_000, 100_000])
def test_verdict_is_the_same_however_many_rows_there_are(kind: str, method: str, rows: int) -> None:
    check, twin = make_check(kind, method), BROKEN_TWINS[kind]
    reference = sampled(make_rows(rows, 1)), sampled(make_scores(rows, 1))
    calm, _ = measure_drift([check], (sampled(make_rows(rows, 2)), sampled(make_scores(rows, 2))), reference)
    broken, html = measure_drift([check], (sampled(twin.broken_rows(rows, 2)), sampled(twin.broken_scores(rows, 2))), reference)
    assert [(r.column, r.violated) for r in calm] == [(r.column, False) for r in calm], calm
    assert [(r.column, r.violated) for r in broken] == [(r.column, True) for r in broken], broken
    assert "<body>" in html


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", [100, 200, 400])
def test_few_rows_alone_are_no_drift(method: str, rows: int) -> None:
    """Ten fresh samples of the same distribution, as few as the checks accept, against a large reference."""
    checks = [make_check(kind, method) for kind in sorted(CHECKS.kinds)]
    reference = make_rows(20_000, 1), make_scores(20_000, 1)
    results = [measure_drift(checks, (make_rows(rows, seed), make_scores(rows, seed)), reference)[0] for seed in range(2, 12)]
    violated = [(r.column, r.value) for result in results for r in result if r.violated]
    assert violated == []


def test_too_few_rows_are_told_and_not_judged() -> None:
    check = make_check("column_drift", "psi")
    broken = BROKEN_TWINS["column_drift"].broken_rows(99, 2)
    results, _ = measure_drift([check], (broken, make_scores(0, 2)), (make_rows(1_000, 1), make_scores(0, 1)))
    assert not any(result.violated for result in results)
    assert {result.note for result in results} == {"not judged: 99 values in the window, 100 needed"}
    assert max(result.value for result in results) > check.threshold


def test_nothing_to_compare_makes_no_page() -> None:
    check = make_check("prediction_drift", "psi")
    results, html = measure_drift([check], (make_rows(0, 2), make_scores(0, 2)), (make_rows(0, 1), make_scores(500, 1)))
    assert [(r.value, r.violated, r.note) for r in results] == [(0.0, False, "not judged: 0 values in the window, 100 needed")]
    assert html == ""


def test_known_answers() -> None:
    """Shares of 50/50 against 80/20, by the formulas."""
    reference = pd.DataFrame({SEGMENT: ["a", "b"] * 500})
    current = pd.DataFrame({SEGMENT: ["a"] * 800 + ["b"] * 200})
    checks = [ColumnDrift(columns=(SEGMENT,), method=method, threshold=0.3) for method in METHODS]
    nothing = make_scores(0, 1)
    (psi, js), _ = measure_drift(checks, (current, nothing), (reference, nothing))
    assert psi.value == pytest.approx(0.3 * np.log(1.6) + 0.3 * np.log(2.5)) and psi.violated
    assert js.value == pytest.approx(jensenshannon([0.5, 0.5], [0.8, 0.2])) and not js.violated


def test_each_check_has_its_own_threshold_on_the_same_column() -> None:
    checks = [ColumnDrift(columns=(UNIT_PRICE,), method="psi", threshold=threshold) for threshold in (0.01, 50.0)]
    nothing = make_scores(0, 1)
    results, _ = measure_drift(checks, (make_rows(1_000, 2, prices=2), nothing), (make_rows(1_000, 1), nothing))
    assert [(result.threshold, result.violated) for result in results] == [(0.01, True), (50.0, False)]
    assert results[0].value == results[1].value > 0.2


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        pytest.param([1.0] * 190 + [50.0] * 10, [1.0] * 150 + [-3.0] * 50, id="below what was nearly constant"),
        pytest.param([0.0] * 190 + [-5.0] * 10, [0.0] * 150 + [9.0] * 50, id="above what was nearly constant"),
        pytest.param([3.0] * 200, [3.0] * 150 + [3.5] * 50, id="beside what was constant"),
        pytest.param(list(range(200)), [*range(150), *[None] * 50], id="missing"),
        pytest.param(["a", "b"] * 100, ["a", "b", "c", "c"] * 50, id="a new category"),
        pytest.param([1_234_567.0, 1.5] * 100, [1_234_568.0, 1.5] * 100, id="numbers that differ late"),
        pytest.param([True, False] * 100, [True, True, True, False] * 50, id="a claim"),
        pytest.param([None] * 200, [1.0] * 200, id="no longer missing"),
    ],
)
def test_drift_in_odd_places_is_seen(reference: list[object], current: list[object]) -> None:
    checks = [ColumnDrift(columns=("x",), method=method, threshold=0.15) for method in METHODS]
    nothing = make_scores(0, 1)
    frames = [(pd.DataFrame({"x": values}), nothing) for values in (current, reference)]
    results, _ = measure_drift(checks, *frames)
    assert [result.violated for result in results] == [True, True], results
    calm, _ = measure_drift(checks, frames[1], frames[1])
    assert [result.value for result in calm] == [pytest.approx(0, abs=1e-9)] * 2


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


def test_sample_is_the_same_in_any_order_and_another_by_another_seed() -> None:
    rows = make_rows(5_000, 1)
    shuffled = rows.sample(frac=1, random_state=3)
    first = take_sample(rows, seed=7, most=1_000)
    pd.testing.assert_frame_equal(first, take_sample(shuffled, seed=7, most=1_000))
    assert len(first) == 1_000
    assert set(first[ROW_ID]) != set(take_sample(rows, seed=8, most=1_000)[ROW_ID])


def test_unknown_columns_and_methods_are_refused() -> None:
    from tasks.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"here\.method: .*'psi' or 'jensenshannon'.*'ks'"):
        CHECKS.parse({"kind": "column_drift", "columns": list(COLUMNS), "method": "ks", "threshold": 0.1}, "here")
    with pytest.raises(ConfigurationError, match="no drift check of kind 'drift'; allowed: column_drift, prediction_drift"):
        CHECKS.parse({"kind": "drift"}, "here")


def test_scores_are_looked_at_one_by_one() -> None:
    check = make_check("prediction_drift", "jensenshannon")
    (result,), _ = measure_drift(
        [check], (make_rows(0, 2), make_scores(2_000, 2, shift=3)), (make_rows(0, 1), make_scores(2_000, 1))
    )
    assert result.column == PREDICTION and result.violated
