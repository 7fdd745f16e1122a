"""Use-case files and suites are checked together before anything runs: a wrong suite is found as a wrong use case is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.errors import ConfigurationError
from tasks.jobs.checks import check_files, find_faults
from tasks.settings import ROOT, Settings
from tasks.stages.validation.suite import list_expectations, load_great_expectations
from tasks.use_case import list_use_cases

CASE = """
name: calls
title: Calls
task: classification
schedule: null
start_date: 2026-01-01
source:
  kind: daily_files
  cells: {age: double, job: string, said: int}
  columns: {target: said}
validation: {suite: calls, tolerance: 0.1}
features: {}
split: {kind: by_time, holdout_days: 7}
candidates: [{kind: prior}, {kind: logistic_regression}]
metrics: {primary: log_loss}
gates: {checks: [{kind: minimum_metric, metric: log_loss, over_baseline: prior}]}
review: {by: auto}
"""
SUITE = """
dataset: calls
description: Rows with a target.
rules:
  - {rule: age_known, expect: expect_column_values_to_not_be_null, with: {column: age}, severity: row,
     reason: Without it nothing is known., owner: team}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    shutil.copytree(ROOT / "conf" / "use_cases", tmp_path / "use_cases")
    shutil.copytree(ROOT / "expectations", tmp_path / "expectations")
    (tmp_path / "use_cases" / "calls.yaml").write_text(CASE)
    (tmp_path / "expectations" / "calls.yaml").write_text(SUITE)
    return Settings(use_cases=tmp_path / "use_cases", expectations=tmp_path / "expectations")


def change(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_what_is_shipped_has_no_fault(settings: Settings) -> None:
    assert "calls" in list_use_cases(settings.use_cases) and find_faults(settings) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("expectations", "column: age", "column: agee", "age_known: no column 'agee' in the rows of calls; allowed: age"),
        ("expectations", "severity: row", "severity: fatal", "calls.yaml.rules.0.severity: "),
        ("expectations", "to_not_be_null", "to_not_be_nul", "no expectation 'expect_column_values_to_not_be_nul'; similar: "),
        ("expectations", "rules:", "rules: [", "calls.yaml: not YAML"),
        ("use_cases", "suite: calls", "suite: cals", "no suite 'cals'"),
        ("use_cases", "features: {}", "features: {text: [jobb]}", "features: ordinal and text: no column 'jobb'"),
        ("use_cases", "kind: by_time, holdout_days: 7", "kind: by_group, group_by: town", "split.group_by: no column 'town'"),
    ],
)
def test_a_wrong_suite_is_found_as_a_wrong_use_case_is(file: str, old: str, new: str, message: str, settings: Settings) -> None:
    change(getattr(settings, file) / "calls.yaml", old, new)
    (fault,) = find_faults(settings)
    assert message in fault
    with pytest.raises(ConfigurationError):
        check_files("calls", settings)


def test_parameters_of_expectations_are_checked_by_the_thorough_check(settings: Settings) -> None:
    change(settings.expectations / "calls.yaml", "with: {column: age}", "with: {column: age, mostlyy: 1}")
    assert find_faults(settings) == []
    with pytest.raises(ConfigurationError, match="does not take"):
        check_files("calls", settings)


def test_the_names_of_expectations_are_those_of_the_library() -> None:
    load_great_expectations()
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    assert set(list_registered_expectation_implementations()) <= set(list_expectations())
