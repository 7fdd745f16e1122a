"""Every kind of file of the benchmark is read or refused as it was written down, in one Spark job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from pyspark.sql import SparkSession

from benchmarks.files.cases import CASES, ROW, Case, lines, text
from benchmarks.files.kinds import Outcome, judge, read_cases


@pytest.fixture(scope="module")
def outcomes(spark: SparkSession) -> Mapping[str, Outcome]:
    return read_cases(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kind_of_file_is_read_or_refused_as_it_must_be(case: Case, outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes[case.name]
    assert judge(case, outcome) == "right", outcome.message or outcome.rows


def test_kinds_are_many_and_have_a_right_outcome_each() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 40
    assert all((case.rows is None) == bool(case.refused) and case.report for case in CASES)


def test_a_wrong_outcome_is_never_right() -> None:
    case = Case("one", "a report", text(""), lines(), (ROW,))
    row = dict(ROW)
    assert judge(case, Outcome([row])) == "right"
    for name in ROW:
        assert judge(case, Outcome([row | {name: None}])) == "silent"
    assert judge(case, Outcome([row | {"unit_price": 250.0}])) == judge(case, Outcome([row, row])) == "silent"
    assert judge(case, Outcome(None, "is there room on the disk")) == "refused"
    assert judge(case, Outcome(None, "Py4JJavaError", is_ours=False)) == "raw"
    refused = dataclasses.replace(case, rows=None, refused=("column 'price'",))
    assert judge(refused, Outcome([row])) == "silent"
    assert judge(refused, Outcome(None, "something else")) == "refused"
    assert judge(refused, Outcome(None, "column 'price' is text")) == "right"
