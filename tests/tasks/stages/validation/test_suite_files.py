"""A suite that is wrong is refused, with what is allowed and what came."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tasks.errors import ConfigurationError
from tasks.stages.validation.checks import check_rules
from tasks.stages.validation.suite import load_suite

RULE = """
  - rule: item_known
    expect: expect_column_values_to_not_be_null
    with: {column: item_id}
    severity: row
    reason: A line without its item teaches nothing.
    owner: growth
"""
SUITE = f"dataset: lines\ndescription: Lines.\nrules:{RULE}"

KNOWN = "expect_column_values_to_not_be_null"
TABLE_RULE = RULE.replace(KNOWN, "expect_table_row_count_to_be_between").replace("column: item_id", "min_value: 1")

# the text of the good suite, its replacement, and the expected message
WRONG = {
    "not YAML": (SUITE, "rules: [", "lines.yaml: not YAML"),
    "no mapping": (SUITE, "- a\n- b\n", "expected a mapping of keys, got list"),
    "no rules": (RULE, " []", "lines.yaml.rules: Tuple should have at least 1 item"),
    "unknown key": ("owner: growth", "onwer: growth", r"rules\.0\.onwer: unknown key; allowed here: .*owner"),
    "no reason": ("    reason: A line without its item teaches nothing.\n", "", r"rules\.0\.reason: missing"),
    "unknown severity": ("severity: row", "severity: fatal", r"\.severity: .*'row', 'batch' or 'warn'; got 'fatal'"),
    "unknown expectation": (KNOWN, "expect_values_not_null", f"'expect_values_not_null'; similar: .*{KNOWN}"),
    "unknown parameter": ("{column: item_id}", "{column: item_id, colour: red}", "item_known: with: .*colour"),
    "missing parameter": ("    with: {column: item_id}\n", "", "item_known: with: .*column"),
    "mostly on rows": ("{column: item_id}", "{column: item_id, mostly: 0.9}", r"with\.mostly: .*validation\.tolerance"),
    "a row rule about a table": (RULE, TABLE_RULE, "does not judge single rows; expected batch or warn, got row"),
    "an unknown past": (
        "{column: item_id}",
        "{column: {$PARAMETER: rows}}",
        "expected past_rows or past_shares_of_<column>, got rows",
    ),
    "a past for rows": (
        "{column: item_id}",
        "{column: item_id, mostly: {$PARAMETER: past_rows}}",
        "parameters of the past judge windows, not rows",
    ),
    "a rule twice": (RULE, RULE + RULE, "repeated: item_known"),
    "another name": ("dataset: lines", "dataset: rows", "expected the name of the file, 'lines', got 'rows'"),
}


@pytest.mark.parametrize("fault", sorted(WRONG))
def test_a_wrong_suite_is_refused(fault: str, tmp_path: Path) -> None:
    good, wrong, message = WRONG[fault]
    assert good in SUITE
    (tmp_path / "lines.yaml").write_text(SUITE.replace(good, wrong))
    with pytest.raises(ConfigurationError, match=message):
        load_suite("lines", tmp_path)


def test_a_missing_suite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lines.yaml").write_text(SUITE)
    assert [rule.columns for rule in load_suite("lines", tmp_path).rules] == [("item_id",)]
    with pytest.raises(ConfigurationError, match=r"no suite 'line' .*allowed: lines"):
        load_suite("line", tmp_path)


def test_a_rule_on_an_unknown_column_is_refused(tmp_path: Path, spark: SparkSession) -> None:
    (tmp_path / "lines.yaml").write_text(SUITE)
    frame = spark.createDataFrame([("f:1", "85123A")], "row_id string, item string")
    with (
        pytest.raises(ConfigurationError, match="rules: item_known: no column 'item_id'; allowed: item"),
        check_rules(frame, load_suite("lines", tmp_path), 1, {}),
    ):
        pytest.fail("it was judged")


def test_an_expectation_that_cannot_be_computed_is_an_error(tmp_path: Path, spark: SparkSession) -> None:
    (tmp_path / "lines.yaml").write_text(
        SUITE.replace("_to_not_be_null", "_to_match_regex").replace("item_id}", 'item_id, regex: "("}')
    )
    frame = spark.createDataFrame([("f:1", "85123A")], "row_id string, item_id string")
    with (
        pytest.raises(ConfigurationError, match="rules: item_known: could not be computed"),
        check_rules(frame, load_suite("lines", tmp_path), 1, {}),
    ):
        pytest.fail("it was judged")


INCLUDING = f"""
dataset: shop
description: Lines of one shop.
includes: lines
rules:{RULE.replace("item_known", "price_known").replace("column: item_id", "column: price")}"""


def test_a_suite_includes_another_and_replaces_its_rules(tmp_path: Path) -> None:
    (tmp_path / "lines.yaml").write_text(SUITE)
    (tmp_path / "shop.yaml").write_text(INCLUDING)
    suite = load_suite("shop", tmp_path)
    assert [(rule.rule, rule.columns) for rule in suite.rules] == [("item_known", ("item_id",)), ("price_known", ("price",))]
    (tmp_path / "shop.yaml").write_text(INCLUDING.replace("price_known", "item_known"))
    assert [(rule.rule, rule.columns) for rule in load_suite("shop", tmp_path).rules] == [("item_known", ("price",))]


def test_a_change_of_the_included_suite_is_another_suite(tmp_path: Path) -> None:
    (tmp_path / "lines.yaml").write_text(SUITE)
    (tmp_path / "shop.yaml").write_text(INCLUDING)
    before = load_suite("shop", tmp_path).digest
    (tmp_path / "lines.yaml").write_text(SUITE.replace("severity: row", "severity: warn"))
    assert load_suite("shop", tmp_path).digest != before


def test_suites_that_include_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lines.yaml").write_text(SUITE.replace("description: Lines.", "description: Lines.\nincludes: shop"))
    (tmp_path / "shop.yaml").write_text(INCLUDING)
    with pytest.raises(ConfigurationError, match=r"lines.yaml: includes: suites include each other: shop -> lines -> shop"):
        load_suite("shop", tmp_path)
    (tmp_path / "lines.yaml").unlink()
    with pytest.raises(ConfigurationError, match=r"shop.yaml: includes: no suite 'lines' .*allowed: shop"):
        load_suite("shop", tmp_path)
