"""Expectation suites: YAML declarations, parsed strictly."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks import columns as c
from tasks.contracts.base import Name
from tasks.contracts.data import Severity
from tasks.documents import parse_document, read_text
from tasks.errors import ConfigurationError
from tasks.io.spark_cells import mark_of
from tasks.kinds import explain

PARAMETER = r"past_rows|past_shares_of_[a-z_]+"


class _Declaration(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Declaration):
    """One expectation, its reason, and the consequence of breaking it."""

    rule: Name
    expect: str = Field(description="a Great Expectations type, such as expect_column_values_to_not_be_null")
    parameters: dict[str, Any] = Field({}, alias="with")
    severity: Severity
    reason: str = Field(min_length=10)
    owner: str = Field(min_length=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule names."""
        named = [self.parameters[key] for key in ("column", "column_A", "column_B") if key in self.parameters]
        return (*named, *self.parameters.get("column_list", ()))

    @property
    def parameter_names(self) -> frozenset[str]:
        """The parameters of the past in arguments such as `{$PARAMETER: past_rows * 0.2}`."""
        expressions = [
            value["$PARAMETER"] for value in self.parameters.values() if isinstance(value, dict) and "$PARAMETER" in value
        ]
        return frozenset(name for expression in expressions for name in re.findall(r"[A-Za-z_]\w*", str(expression)))


_COUNTS_ROWS = "expect_table_row_count"


class Suite(_Declaration):
    """The rules of one data set.

    Attributes
    ----------
    includes : another suite, whose rules hold as well. A rule of the same name replaces the included one.
    digest : the sha256 of the YAML text, and of the digest of the included suite.
    """

    dataset: Name
    description: str = Field(min_length=1)
    includes: Name | None = None
    rules: tuple[Rule, ...] = Field(min_length=1)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _distinct(self) -> Suite:
        names = [rule.rule for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names of rules must be unique; repeated: {', '.join(twice)}")
        for rule in self.rules:
            if wrong := sorted(name for name in rule.parameter_names if not re.fullmatch(PARAMETER, name)):
                raise ValueError(
                    f"{rule.rule}: $PARAMETER: expected past_rows or past_shares_of_<column>, got {', '.join(wrong)}"
                )
            if rule.parameter_names and rule.severity is Severity.ROW:
                raise ValueError(
                    f"{rule.rule}: severity: parameters of the past judge windows, not rows; expected batch or warn, got row"
                )
        return self

    def with_included(self, included: Suite) -> Suite:
        """The suite with the rules of another one before its own."""
        own = {rule.rule for rule in self.rules}
        rules = (*(rule for rule in included.rules if rule.rule not in own), *self.rules)
        digest = hashlib.sha256(f"{included.digest} {self.digest}".encode()).hexdigest()
        return self.model_copy(update={"rules": rules, "digest": digest})

    @property
    def columns(self) -> frozenset[str]:
        """All columns that rules name."""
        return frozenset(column for rule in self.rules for column in rule.columns)

    def columns_read(self, columns: Sequence[str]) -> list[str]:
        """Those of a frame's columns that the rules read. All of them, where a rule is about the frame itself."""
        of_the_frame = [rule for rule in self.rules if not rule.columns and not rule.expect.startswith(_COUNTS_ROWS)]
        conditions = " ".join(str(rule.parameters.get("row_condition", "")) for rule in self.rules)
        return [name for name in columns if of_the_frame or name in self.columns or name in conditions]

    def with_rules(self, rules: Sequence[Rule]) -> Suite:
        """The suite with rules of the product before its own."""
        return self.model_copy(update={"rules": (*rules, *self.rules)})

    @property
    def parameter_names(self) -> frozenset[str]:
        """All parameters of the past that rules name."""
        return frozenset(name for rule in self.rules for name in rule.parameter_names)


def rules_of_cells(counts: Mapping[str, Mapping[str, Any]]) -> list[Rule]:
    """A rule for each column of the source with lost cells, `cell_<column>_reads`: its rows go to quarantine.

    Parameters
    ----------
    counts : column of the source -> `full` and `lost` cells of the raw snapshot.
    """
    found: dict[str, Rule] = {}
    for column, count in counts.items():
        if not count["lost"]:
            continue
        name = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")[:40]
        taken = next(one for one in (f"cell_{name}{number}_reads" for number in ("", *range(2, 10_000))) if one not in found)
        found[taken] = Rule.model_validate(
            {
                "rule": taken,
                "expect": "expect_column_values_to_not_match_regex",
                "with": {"column": c.LOST_CELLS, "regex": re.escape(mark_of(column))},
                "severity": Severity.ROW,
                "reason": f"The cell of the column {column!r} is full and is not what source.cells states that it holds.",
                "owner": "source.cells",
            }
        )
    return list(found.values())


def load_suite(name: str, folder: Path) -> Suite:
    """The suite of a name, with the rules that it includes. Every rule is one that Great Expectations can evaluate.

    Raises
    ------
    ConfigurationError : no such file, not YAML, a wrong key, an expectation that does not exist or has wrong parameters, or
        suites that include each other.
    """
    return _load(name, folder, "validation.suite", (), build_expectation)


def read_suite(name: str, folder: Path) -> Suite:
    """The same without Great Expectations, whose import takes seconds: parameters of expectations are not checked."""
    return _load(name, folder, "validation.suite", (), _check_name)


def _load(name: str, folder: Path, where: str, including: tuple[str, ...], check: Callable[[Rule, str], object]) -> Suite:
    """The suite of a name. `including` are the suites that include it, the outermost first."""
    if name in including:
        raise ConfigurationError(f"{where}: suites include each other: {' -> '.join((*including, name))}; remove one of them")
    path = folder / f"{name}.yaml"
    if not path.is_file():
        allowed = ", ".join(sorted(other.stem for other in folder.glob("*.yaml"))) or "none"
        raise ConfigurationError(f"{where}: no suite {name!r} ({path}); allowed: {allowed}")
    text = read_text(path)
    document = parse_document(text, path.name)
    try:
        suite = Suite.model_validate({**document, "digest": hashlib.sha256(text.encode()).hexdigest()})
    except ValidationError as error:
        raise ConfigurationError(explain(error, Suite, path.name)) from error
    if suite.dataset != name:
        raise ConfigurationError(f"{path.name}: dataset: expected the name of the file, {name!r}, got {suite.dataset!r}")
    for rule in suite.rules:
        check(rule, path.name)
    if suite.includes is None:
        return suite
    return suite.with_included(_load(suite.includes, folder, f"{path.name}: includes", (*including, name), check))


@lru_cache(maxsize=1)
def list_expectations() -> tuple[str, ...]:
    """The names of Great Expectations' expectations, by the files of the package."""
    found = importlib.util.find_spec("great_expectations")
    folders = found.submodule_search_locations if found else None
    return tuple(
        sorted(path.stem for folder in folders or () for path in Path(folder, "expectations", "core").glob("[a-z]*.py"))
    )


def _check_name(rule: Rule, where: str) -> None:
    known = list_expectations()
    if rule.expect not in known:
        close = difflib.get_close_matches(rule.expect, known, n=3, cutoff=0.5) or known
        raise ConfigurationError(
            f"{where}: rules: {rule.rule}: expect: no expectation {rule.expect!r}; similar: {', '.join(close)}"
        )


def build_expectation(rule: Rule, where: str) -> Any:
    """The Great Expectations object of a rule.

    Raises
    ------
    ConfigurationError : the type is unknown, a parameter is wrong, or the severity does not fit the type.
    """
    load_great_expectations()
    from great_expectations.expectations import expectation as kinds
    from great_expectations.expectations.registry import get_expectation_impl, list_registered_expectation_implementations

    field = f"{where}: rules: {rule.rule}"
    known = sorted(list_registered_expectation_implementations())
    if rule.expect not in known:
        close = difflib.get_close_matches(rule.expect, known, n=3, cutoff=0.5) or known
        raise ConfigurationError(f"{field}: expect: no expectation {rule.expect!r}; similar: {', '.join(close)}")
    implementation: Any = get_expectation_impl(rule.expect)
    if rule.severity is Severity.ROW:
        by_row = (kinds.ColumnMapExpectation, kinds.ColumnPairMapExpectation, kinds.MulticolumnMapExpectation)
        if not issubclass(implementation, by_row):
            raise ConfigurationError(
                f"{field}: severity: {rule.expect} does not judge single rows; expected batch or warn, got row"
            )
        if "mostly" in rule.parameters:
            raise ConfigurationError(
                f"{field}: with.mostly: not allowed with severity row, where every broken row goes to quarantine; "
                "set the use case's validation.tolerance instead"
            )
    try:
        description = f"{rule.rule} ({rule.severity}, {rule.owner}): {rule.reason}".replace(
            "$", "$$"
        )  # a template for Data Docs
        return implementation(**rule.parameters, meta={"rule": rule.rule}, description=description)
    except ValueError as error:  # of pydantic 1, which Great Expectations contains
        raise ConfigurationError(f"{field}: with: {rule.expect} does not take {rule.parameters}: {error}") from error


def load_great_expectations() -> Any:
    """The package, without usage statistics. It reads that setting once, on import."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    return great_expectations
