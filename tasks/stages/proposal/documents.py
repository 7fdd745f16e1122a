"""The YAML of a proposal: the use case and the suite, each line with what it was concluded from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import yaml

from tasks import columns as c
from tasks.contracts.samples import Sample
from tasks.documents import write_in_one_line
from tasks.problems import problem_of
from tasks.stages.proposal.columns import TIME, Column
from tasks.stages.proposal.roles import Doubt, Roles
from tasks.stages.proposal.times import time_format

DEFAULT_DAYS = 4 * 28  # of history from which the default label windows fit
MANY_COPIES = 0.02  # share of equal rows above which they are no faults of a delivery
DEFAULT_FORMATS = {"timestamp": "yyyy-MM-dd HH:mm:ss", "date": "yyyy-MM-dd"}
EXAMPLES = 2
TEXTS = ("string", "id", "ignore")  # types that every cell fits


@dataclass(frozen=True)
class Proposal:
    """A use case and its suite, as documents and as commented YAML.

    Parameters
    ----------
    use_case, suite : the documents. suite is None where the shipped one of the task is enough.
    days : the first and the last day of what happened, where it is known.
    doubts : what a person should look at, the most important first.
    """

    name: str
    use_case: Mapping[str, Any]
    suite: Mapping[str, Any] | None
    comments: Mapping[tuple[str, ...], str]
    days: tuple[date, date] | None
    doubts: tuple[Doubt, ...]
    head: str

    @property
    def use_case_text(self) -> str:
        """The use case as YAML, with what each line was concluded from and the doubts."""
        lines = [f"# {self.head}"]
        lines += [f"# doubt: {one.where}: {one.text}" for one in self.doubts]
        for key, value in self.use_case.items():
            lines += self._write((key,), value, "")
        return "\n".join(lines) + "\n"

    @property
    def suite_text(self) -> str:
        """The suite as YAML; empty where there is none of its own."""
        if self.suite is None:
            return ""
        head = f"# Rules that are special to {self.name}. Those of {self.suite['includes']}.yaml hold as well.\n"
        return head + yaml.safe_dump(dict(self.suite), sort_keys=False, allow_unicode=True, width=120)

    def _write(self, path: tuple[str, ...], value: Any, indent: str) -> list[str]:
        comment = f"   # {self.comments[path]}" if path in self.comments else ""
        key = f"{indent}{write_in_one_line(path[-1])}:"
        if isinstance(value, Mapping) and path in {("source",), ("source", "cells"), ("source", "columns")}:
            inner = [line for name, one in value.items() for line in self._write((*path, name), one, f"{indent}  ")]
            return [f"{key}{comment}", *inner]
        return [f"{key} {write_in_one_line(value)}{comment}"]


def make_proposal(sample: Sample, name: str, columns: Sequence[Column], roles: Roles, time_zone: str | None) -> Proposal:
    """The documents of a use case, its comments and its doubts."""
    by_name = {one.name: one for one in columns}
    holds_many_days = not sample.days and c.EVENT_AT in roles.columns
    source: dict[str, Any] = {"kind": "files" if holds_many_days else "daily_files", "path": f"sources/{name}", **sample.source}
    if source["kind"] == "table":
        source["order_by"] = _order_of(columns, roles)
    source["cells"] = {column: _shorten(cell) for column, cell in roles.cells.items()}
    source["columns"] = dict(roles.columns)
    if roles.constants:
        source["constants"] = dict(roles.constants)
    if roles.unique is not None:
        source["event_id_unique"] = roles.unique
    if roles.positive is not None:
        source["positive"] = roles.positive
    if roles.negative:
        source["negative"] = list(roles.negative)
    days = _find_days(sample, by_name, roles)
    document: dict[str, Any] = {"name": name, "task": roles.task.value}
    if time_zone is not None:
        document["time_zone"] = time_zone
    if days is not None and roles.task.form is not None and not roles.task.answers_rows:
        document["start_date"] = days[0]
    document["source"] = source
    rules = _special_rules(sample, by_name, roles)
    if rules:
        document["validation"] = {"suite": name}
    if roles.texts:
        document["features"] = {"text": list(roles.texts)}
    split = None if roles.task.answers_rows or days is None else _split_of(days)
    if split is not None:
        document["split"] = split
    shipped = problem_of(roles.task).defaults.suite
    suite = {"dataset": name, "description": f"Rows of {name}.", "includes": shipped, "rules": rules} if rules else None
    doubts = [*_doubts_of(sample, by_name, roles, time_zone), *roles.doubts]
    share = f"all {sample.rows:,}" if sample.is_whole else f"{sample.rows:,} of about {sample.of_rows:,}"
    head = f"Proposed from {share} rows. What is not stated has a default, which each run prints in its log."
    return Proposal(name, document, suite, _comments(sample, by_name, roles, days), days, tuple(doubts), head)


def _shorten(cell: Mapping[str, Any]) -> Any:
    """The declaration without what is the default, in its short form where only the type remains."""
    kind = cell["type"]
    kept = {key: value for key, value in cell.items() if not (key == "format" and value == DEFAULT_FORMATS.get(kind))}
    return kind if len(kept) == 1 else kept


def _order_of(columns: Sequence[Column], roles: Roles) -> list[str]:
    """Columns that identify a row of a table: one that never repeats, otherwise those with a role."""
    unique = next((one.name for one in columns if one.is_unique and one.full == one.rows), None)
    return [unique] if unique is not None else list(dict.fromkeys(roles.columns.values()))


def _find_days(sample: Sample, columns: Mapping[str, Column], roles: Roles) -> tuple[date, date] | None:
    if sample.days:
        return min(sample.days), max(sample.days)
    if c.EVENT_AT not in roles.columns:
        return None
    moments = [moment for moment in columns[roles.columns[c.EVENT_AT]].times if moment is not None]
    return (min(moments).date(), max(moments).date()) if moments else None


def _split_of(days: tuple[date, date]) -> dict[str, Any] | None:
    """Label windows that fit into a short history; None: the default fits."""
    span = (days[1] - days[0]).days + 1
    return None if span >= DEFAULT_DAYS else {"kind": "by_time", "holdout_days": max(span // 5, 1)}


# rules


def _special_rules(sample: Sample, columns: Mapping[str, Column], roles: Roles) -> list[dict[str, Any]]:
    """Rules with bounds that only this source has."""
    rules = []
    if roles.task.rates_pairs:
        rules.append(_range_rule("rating_on_the_scale", c.VALUE, columns[roles.columns[c.VALUE]], factor=1))
    elif c.UNIT_PRICE in roles.columns:
        rules.append(_range_rule("unit_price_plausible", c.UNIT_PRICE, columns[roles.columns[c.UNIT_PRICE]], factor=10))
    if not roles.task.answers_rows and (copies := _count_copies(sample)) > MANY_COPIES * sample.rows:
        rules.append(
            {
                "rule": "exact_duplicates",
                "expect": "expect_column_values_to_be_between",
                "with": {"column": "duplicate_number", "max_value": 1},
                "severity": "warn",
                "reason": f"Of {sample.rows} rows {copies} equal an earlier one: too many for a fault of delivery.",
                "owner": "unowned",
            }
        )
    return [rule for rule in rules if rule is not None]


def _range_rule(name: str, canonical: str, one: Column, *, factor: float) -> dict[str, Any] | None:
    numbers = [number for number in one.numbers if math.isfinite(number)]
    if not numbers:
        return None
    low, high = min(numbers), max(numbers)
    if factor > 1:
        low, high = 0.0, float(f"{max(high, 0) * factor:.1g}")
    said = f"The sample has values from {min(numbers):g} to {max(numbers):g}."
    return {
        "rule": name,
        "expect": "expect_column_values_to_be_between",
        "with": {"column": canonical, "min_value": low, "max_value": high},
        "severity": "row",
        "reason": f"{said} Others have a misplaced decimal sign or another scale.",
        "owner": "unowned",
    }


def _count_copies(sample: Sample) -> int:
    rows = Counter(zip(*(map(_hashable, cells) for cells in sample.cells.values()), strict=True))
    return sum(rows.values()) - len(rows)


def _hashable(cell: Any) -> Any:
    return tuple(cell) if isinstance(cell, list) else cell


# comments and doubts


def _comments(
    sample: Sample, columns: Mapping[str, Column], roles: Roles, days: tuple[date, date] | None
) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for name, one in columns.items():
        parts = [f"such as {', '.join(list(one.values)[:EXAMPLES])}"[:60]] if one.values else ["no cell"]
        if one.rows > one.full:
            parts.append(f"{1 - one.full / one.rows:.1%} missing")
        if one.share < 1 and roles.cells[name].get("type") not in TEXTS:
            parts.append(f"{one.share:.2%} of the full cells fit")
        if name in roles.reasons:
            parts.append(roles.reasons[name])
        found["source", "cells", name] = "; ".join(parts).replace("\n", " ")
    shipped = problem_of(roles.task).defaults.suite
    found["task",] = f"the shipped suite {shipped} holds; see docs/models.md for its models and metrics"
    found["source", "kind"] = _comment_kind(sample, holds_many_days=c.EVENT_AT in roles.columns)
    if days is not None:
        found["split",] = f"the sample has {(days[1] - days[0]).days + 1} days, {days[0]} to {days[1]}"
    return found


def _comment_kind(sample: Sample, *, holds_many_days: bool) -> str:
    """Where the files go, and how they are named."""
    if not sample.files:
        return "each window is extracted once into a file in path"
    if sample.days:
        return f"a file a day, as in {min(sample.days.values()).name}, in path"
    if holds_many_days:
        return "all files in path, cut into days by event_at"
    return "a file a day in path, named by its day, as in 2026-01-31.csv"


def _doubts_of(sample: Sample, columns: Mapping[str, Column], roles: Roles, time_zone: str | None) -> list[Doubt]:
    """What is not sure about the form of the source and its columns."""
    found = [Doubt(where, text) for where, text in sample.notes]
    read = {name: one for name, one in columns.items() if roles.cells[name].get("type") != "ignore"}
    for name, one in read.items():
        cell = roles.cells[name]
        if one.tied and cell.get("type") in {"timestamp", "date"}:
            found.append(
                Doubt(name, f"{one.tied[0]} reads as many cells as {cell.get('format')}: which comes first, day or month?")
            )
        if one.alternatives and one.kind == TIME:
            shares = [f"{other.cell['format']} fits {other.share:.1%}" for other in one.alternatives]
            found.append(Doubt(name, f"1 of {len(shares)} formats {shares[0]}; {', '.join(shares[1:])}"))
        if one.share < 1 and cell.get("type") not in TEXTS:
            found.append(
                Doubt(name, f"{1 - one.share:.2%} of the full cells do not fit, such as {', '.join(map(repr, one.misfits))}")
            )
        if len(one.signs) > 1 and any(_could_be_both(value) for value in one.values):
            found.append(Doubt(name, f"{next(iter(one.values))} may have a decimal or a thousands sign"))
    if roles.task.answers_rows and (copies := _count_copies(sample)) > MANY_COPIES * sample.rows:
        text = f"{copies} of {sample.rows} rows equal an earlier one: a split refuses many copies, see split.copies_at_most"
        found.append(Doubt("split", text))
    found += _doubt_zone(columns, roles, time_zone)
    return found


def _could_be_both(value: str) -> bool:
    return value.count(",") + value.count(".") == 1 and value.lstrip("-").replace(",", ".").split(".")[-1].__len__() == 3


def _doubt_zone(columns: Mapping[str, Column], roles: Roles, time_zone: str | None) -> list[Doubt]:
    """Whether times without an offset are those of UTC."""
    if c.EVENT_AT not in roles.columns:
        return []
    one = columns[roles.columns[c.EVENT_AT]]
    cell = one.cell
    patterns = [cell["format"]] if "format" in cell else cell.get("formats", [])
    if (
        time_zone is not None
        or "unit" in cell
        or one.states_offset
        or (patterns and all(time_format(each).states_offset for each in patterns))
    ):
        return []
    if cell["type"] == "date":
        return [Doubt("time_zone", "days without times are days of UTC; state the time zone that they are of")]
    hours = Counter(moment.hour for moment in one.times if isinstance(moment, datetime))
    busy = [hour for hour, rows in sorted(hours.items()) if rows >= 0.005 * hours.total()]
    said = f" Rows are from {busy[0]:02}:00 to {busy[-1]:02}:59, as local times would be." if len(busy) < 20 else ""
    return [Doubt("time_zone", f"times without an offset are read as UTC.{said} State the time zone that they are of")]
