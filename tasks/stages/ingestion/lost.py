"""Cells that were full and did not become what they are stated to be: counted after the rows are written, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.cells import MOMENTS, NUMBERS, Cell
from tasks.errors import SourceError
from tasks.io.cells import LOST_DIGITS, CellReader
from tasks.io.spark_cells import Wanted, mark_of
from tasks.stages.ingestion.base import Source

if TYPE_CHECKING:
    import pyarrow.dataset as ds

EXAMPLES, LONGEST_EXAMPLE = 3, 80
_GROUPED = {
    ",": r"[0-9],[0-9]{3}\b",
    ".": r"[0-9]\.[0-9]{3}\b.*[.,]",
    "'": r"[0-9]['\u2019][0-9]{3}\b",
    " ": r"[0-9]\s[0-9]{3}\b",
}


def count_cells(folder: Path, source: Source) -> dict[str, dict[str, Any]]:
    """Column of the source -> `full` and `lost` cells, and up to three `examples` of those (cell, row). Empty without cells.

    Nothing is computed again: lost cells are marked in the written rows, and Parquet's own counts tell the others.

    Raises
    ------
    SourceError : more of a column's full cells are lost than `source.lost_share` allows. One lost cell alone stops no run.
    """
    if not source.wanted:
        return {}
    import pyarrow.dataset as ds

    rows = ds.dataset(folder, format="parquet")
    if c.LOST_CELLS not in rows.schema.names:
        return {}
    lost = _count_lost(rows)
    present = _count_present(rows)
    found: dict[str, dict[str, Any]] = {}
    for name, one in source.wanted.items():
        count = lost.get(mark_of(one.column), 0)
        full = present.get(name, present[c.ROW_ID] - count) + count
        if one.column not in found or full > found[one.column]["full"]:
            found[one.column] = {"full": full, "lost": count}
            if count:
                found[one.column]["examples"] = _find_examples(rows, one.column)
    faults = [_explain(one, found[one.column], source) for one in _first_of_each(source.wanted).values()]
    if stopping := [fault for fault in faults if fault]:
        raise SourceError("\n".join([*stopping, "Nothing was published"]))
    return found


def _first_of_each(wanted: Mapping[str, Wanted]) -> dict[str, Wanted]:
    """Column of the source -> how it is read."""
    return {one.column: one for one in reversed(list(wanted.values()))}


def _count_lost(rows: ds.Dataset) -> dict[str, int]:
    """Mark of a column -> how many of its cells are lost."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    marked = rows.to_table([c.LOST_CELLS], filter=ds.field(c.LOST_CELLS).is_valid())[c.LOST_CELLS]
    counts: dict[str, int] = {}
    for one in pc.value_counts(marked).to_pylist():
        for column in json.loads(f"[{one['values']}]"):
            counts[mark_of(column)] = counts.get(mark_of(column), 0) + one["counts"]
    return counts


def _count_present(rows: ds.Dataset) -> dict[str, int]:
    """Column of the written rows -> how many of its values are not null, from the counts that Parquet files hold."""
    import pyarrow.dataset as ds

    present: dict[str, int] = {}
    uncounted: set[str] = set()
    for fragment in rows.get_fragments():
        metadata = fragment.metadata
        for group in (metadata.row_group(place) for place in range(metadata.num_row_groups)):
            for column in (group.column(place) for place in range(group.num_columns)):
                counts, name = column.statistics, column.path_in_schema
                if counts is None or not counts.has_null_count:
                    uncounted.add(name)
                else:
                    present[name] = present.get(name, 0) + group.num_rows - counts.null_count
    return {c.ROW_ID: 0, **present, **{name: rows.count_rows(filter=ds.field(name).is_valid()) for name in uncounted}}


def _find_examples(rows: ds.Dataset, column: str) -> list[dict[str, str]]:
    """The first lost cells of a column as they came, with their rows."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    is_lost = pc.match_substring(ds.field(c.LOST_CELLS), mark_of(column))
    found = rows.scanner([c.ROW_ID, c.AS_IT_CAME], filter=is_lost).head(EXAMPLES).to_pylist()
    return [{"cell": _shorten(_read_cell(one[c.AS_IT_CAME], column)), "row": one[c.ROW_ID]} for one in found]


def _explain(wanted: Wanted, counts: Mapping[str, Any], source: Source) -> str:
    """Why a column stops the run; empty where it does not."""
    full, lost = counts["full"], counts["lost"]
    tolerated = source.most_lost * full
    if lost <= (max(1.0, tolerated) if source.most_lost > 0 else 0):
        return ""
    shown = ", ".join(f"{one['cell']!r} (row {one['row']})" for one in counts["examples"])
    expected = "a time" if wanted.cell.type in MOMENTS else CellReader(wanted.cell).expected
    remedies = find_remedies(wanted.cell, [one["cell"] for one in counts["examples"]])
    return (
        f"column {wanted.column!r}: {lost} of {full} full cells ({lost / full:.1%}) are not what they are stated to be; "
        f"{source.most_lost:.1%} are allowed (source.lost_share). Expected {expected}, got {shown}. "
        f"In source.cells state {', or '.join(remedies)}"
    )


def find_remedies(cell: Cell, examples: list[str]) -> list[str]:
    """What to state about a column so that its lost cells are read, the likeliest first."""
    first = examples[0] if examples else ""
    found: list[str] = []
    if cell.type in NUMBERS:
        found += _remedies_of_numbers(cell, examples)
    elif cell.type in MOMENTS:
        found += _remedies_of_times(cell, first)
    elif cell.type == "boolean":
        found.append(
            f"which words mean class 1 and 0 (source.positive, source.negative; true and false of a boolean), such as {first!r}"
        )
    elif cell.allowed is not None:
        found.append(f"what the word means: words: {{{first}: {cell.allowed[0]}}} (of {', '.join(cell.allowed)})")
    elif cell.type == "id":
        if any(re.fullmatch(LOST_DIGITS, one.strip()) for one in examples):
            return ["nothing: a program has cut digits of these ids; deliver them as text with all digits"]
        return ["nothing: an id has at most 200 characters; name the right column as the id, or shorten the ids"]
    elif cell.type == "time":
        found.append("type: string, if these are no times of the day such as 13:05")
    return [*found, f"missing: [{first!r}], if the cell is empty in truth"]


def _remedies_of_numbers(cell: Cell, examples: list[str]) -> list[str]:
    joined = "\n".join(examples)
    found: list[str] = []
    decimal: str = cell.decimal or "."
    other = {".": ",", ",": "."}[decimal]
    if re.search(rf"[0-9]{re.escape(other)}[0-9]{{1,2}}\b(?![.,])", joined):
        decimal = other
        found.append(f'decimal: "{other}"')
    for mark, pattern in _GROUPED.items():
        if cell.thousands is None and mark != decimal and re.search(pattern, joined):
            found.append(f'thousands: "{mark}"')
    around = {sign for one in examples for sign in re.findall(r"[^\s0-9.,'\u2019()+\u2212-]+", one) if re.search("[0-9]", one)}
    if symbols := sorted(sign for sign in around if sign not in cell.symbols and not re.fullmatch("[eE]", sign)):
        found.append(f"symbols: [{', '.join(map(repr, symbols))}]{' (percent: true divides by 100)' if '%' in symbols else ''}")
    if cell.type in {"int", "long"} and all(re.fullmatch(r"[+-]?[0-9]+\.[0-9]+", one.strip()) for one in examples):
        found.append("type: double")
    return [" and ".join(found)] if found else ["type: string"]


def _remedies_of_times(cell: Cell, example: str) -> list[str]:
    digits = re.fullmatch(r"\s*[+-]?([0-9]+)(\.[0-9]+)?\s*", example)
    if digits is not None:
        unit = {10: "s", 13: "ms", 16: "us", 19: "ns"}.get(len(digits[1]))
        if unit is not None and unit != (cell.unit or ("" if cell.formats else "s")):
            return [f"unit: {unit} and the type timestamp; these look like {_UNITS[unit]} since 1970"]
    days = f"first_day and last_day, if the time is right (plausible are {cell.first_day} to {cell.last_day})"
    if cell.unit is None:
        return [f"the pattern of these times in formats, beside {', '.join(cell.formats) or 'none'}", days]
    return [days]


_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def _shorten(cell: str) -> str:
    return cell if len(cell) <= LONGEST_EXAMPLE else f"{cell[:LONGEST_EXAMPLE]}... ({len(cell)} characters)"


def _read_cell(line: str | None, column: str) -> str:
    """A cell of a row as it came; empty where there is none, or where the line is no JSON."""
    try:
        cells = json.loads(line or "{}")
    except ValueError:
        return ""
    cell = cells.get(column) if isinstance(cells, dict) else None
    return "" if cell is None else str(cell)
