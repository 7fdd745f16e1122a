"""What is checked of a use case before anything runs: its YAML, its suite, and that both name columns that there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from tasks import columns as c
from tasks.errors import ConfigurationError
from tasks.settings import Settings
from tasks.stages.validation.suite import Suite, load_suite, read_suite
from tasks.use_case import UseCase, list_use_cases, load_use_case


def check_files(name: str, settings: Settings, *, quickly: bool = False) -> tuple[UseCase, Suite]:
    """The use case of a name and its suite.

    Parameters
    ----------
    quickly : without Great Expectations, whose import takes seconds.

    Raises
    ------
    ConfigurationError : a file is wrong, or names a column that the source's rows do not have.
    """
    case = load_use_case(name, settings.use_cases)
    suite = (read_suite if quickly else load_suite)(case.validation.suite, settings.expectations)
    there = case.source.row_columns
    if there is not None and (faults := list(_find_unknown(case, suite, there))):
        raise ConfigurationError("\n".join(faults))
    return case, suite


def find_faults(settings: Settings) -> list[str]:
    """What is wrong with the files of all use cases, as far as it is found quickly."""
    faults = []
    for name in list_use_cases(settings.use_cases):
        try:
            check_files(name, settings, quickly=True)
        except ConfigurationError as error:
            faults.append(str(error))
    return faults


def _find_unknown(case: UseCase, suite: Suite, there: Iterable[str]) -> Iterator[str]:
    """One line for each column that is named and is not there."""
    rows = [name for name in there if name not in (c.SPLIT_ORDER, c.SPLIT_GROUP)]
    judged = [*rows, *c.COMPUTED_COLUMNS]
    for rule in suite.rules:
        for column in rule.columns:
            if column not in judged:
                yield f"{suite.dataset}.yaml: rules: {rule.rule}: {_explain(column, judged, case.name)}"
    stated = {"features: ordinal and text": case.features.stated_texts}
    if group := getattr(case.split, "group_by", None):
        stated["split.group_by"] = (group,)
    for test_set, conditions in case.split.test_sets.items():
        stated[f"split.test_sets.{test_set}.where"] = tuple(conditions.where)
    for where, columns in stated.items():
        for column in columns:
            if column not in rows:
                yield f"{case.name}.yaml: {where}: {_explain(column, rows, case.name)}"


def _explain(column: str, there: list[str], use_case: str) -> str:
    close = difflib.get_close_matches(column, there, n=3) or there
    return f"no column {column!r} in the rows of {use_case}; allowed: {', '.join(close)}"
