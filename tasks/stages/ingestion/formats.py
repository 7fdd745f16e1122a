"""Checks of a file before Spark reads it: is it complete, has it the declared columns, how many rows has it?

Each check uses another parser than Spark, so that a file on which the two disagree is refused. Formats that Spark does not
read (Avro, Arrow, workbooks, archives) are read by one parser only.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import SourceError
from tasks.stages.ingestion import physical, readers
from tasks.stages.ingestion.base import decode
from tasks.stages.ingestion.cells import ROWS_OF_A_GROUP

IGNORE = "ignore"
TYPED = ("parquet", "orc", "arrow", "avro")  # formats whose files have a schema


@dataclass(frozen=True)
class Declared:
    """What the YAML declares of a source's files.

    Parameters
    ----------
    cells : column -> its type, or `ignore`.
    headers : the allowed headers, where columns came or went over time; empty: all of `cells`.
    """

    cells: Mapping[str, str]
    headers: tuple[tuple[str, ...], ...] = ()

    @property
    def allowed(self) -> tuple[tuple[str, ...], ...]:
        return self.headers or (tuple(self.cells),)

    @property
    def kept(self) -> dict[str, str]:
        """The columns that are read."""
        return {name: kind for name, kind in self.cells.items() if kind != IGNORE}


def decompress(content: bytes, path: Path) -> bytes:
    """The content of a file, decompressed where its name ends in .gz, .bz2 or .zip."""
    try:
        return readers.unpack(content, path.name)
    except ValueError as error:
        raise SourceError(f"{path}: {error}; deliver it again") from error


def count_csv(content: bytes, path: Path, declared: Declared, encoding: str, delimiter: str) -> int:
    """Data rows of a CSV file with a header, each with all fields."""
    text, rows, places = decode(content, path, encoding), 0, content.count(b"\n")
    stated = readers.DELIMITER_LINE.match(text)
    skipped = 0 if stated is None else 1
    if stated is not None:
        text, delimiter = text[stated.end() :], stated[1]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(lines, [])
        check_names(header, declared, path, delimiter)
        for fields in lines:
            if fields and len(fields) != len(header):
                line = lines.line_num + skipped
                cut = "; the file is truncated" if line > places else ""
                raise SourceError(
                    f"{path}: line {line}: expected {len(header)} fields, got {len(fields)}: "
                    f"{delimiter.join(fields)[:120]!r}{cut}; deliver it again"
                )
            rows += bool(fields)
    except csv.Error as error:
        where = f"{path}: line {lines.line_num + skipped}"
        if "field larger" in str(error):
            raise SourceError(
                f"{where}: a cell has more than {csv.field_size_limit()} characters; shorten it, or close the quote before it"
            ) from error
        raise SourceError(f"{where}: not CSV: {error}; the file is truncated, or a quote is not closed") from error
    return rows


def check_names(found: Sequence[str], declared: Declared, path: Path, delimiter: str | None = None) -> None:
    """Refuse a header that is none of the declared ones. Formats with named columns may order them differently.

    Where a column without a name is declared, any number of them may be there.
    """
    headers = declared.allowed
    if any(_agree(found, names, is_ordered=delimiter is not None) for names in headers):
        return
    names = min(headers, key=lambda one: len(set(one) ^ set(found)))
    expected = f"expected the header {','.join(names)}" + (f" or {len(headers) - 1} others" if len(headers) > 1 else "")
    if delimiter is not None:
        others = [other for other in (",", ";", "\t", "|", ":") if other != delimiter and other in "".join(found)]
        if len(found) <= 1 and others:
            raise SourceError(f"{path}: line 1: expected the delimiter {delimiter!r}, got {others[0]!r}; {expected}")
    faults = []
    if missing := [name for name in names if name not in found]:
        faults.append(f"missing: {', '.join(name or repr(name) for name in missing)}")
    if extra := [name for name in found if name not in names]:
        faults.append(f"unknown: {', '.join(map(repr, extra[:5]))}{f' and {len(extra) - 5} more' if len(extra) > 5 else ''}")
    if repeated := sorted({name for name in found if list(found).count(name) > 1} if len(found) < 200 else ()):
        faults.append(f"repeated: {', '.join(name or repr(name) for name in repeated)}")
    remedy = f"; add {extra[0]!r} to cells, as ignore if it is not needed" if extra and not missing else ""
    raise SourceError(
        f"{path}: line 1: {'; '.join(faults) or 'the columns are in another order'}; {expected}, "
        f"got {','.join(found)[:500]}{remedy}"
    )


def _agree(found: Sequence[str], names: Sequence[str], *, is_ordered: bool) -> bool:
    here, there = list(found), list(names)
    if "" in there:
        here, there = [name for name in here if name], [name for name in there if name]
    return here == there if is_ordered else sorted(here) == sorted(there)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as pairs, which keeps repeated keys."""


def count_jsonl(content: bytes, path: Path, declared: Declared) -> int:
    """Lines of a JSON lines file, or objects of one array, each with known keys. A missing key is an empty cell."""
    text, rows = decode(content, path), 0
    for place, one, shown in _read_json(text, path):
        pairs = list(_flatten(one, declared.cells)) if isinstance(one, _Pairs) else []
        if not isinstance(one, _Pairs):
            raise SourceError(f"{path}: {place}: expected a JSON object, got {shown!r}")
        for key, value in pairs:
            kind = declared.cells.get(key)
            if kind is None:
                unknown = [name for name, _ in pairs if name not in declared.cells]
                raise SourceError(
                    f"{path}: {place}: unknown: {', '.join(map(repr, unknown[:5]))}; allowed: {', '.join(declared.cells)}; "
                    "add them to cells, as ignore if they are not needed"
                )
            if kind != IGNORE:
                _check_value(key, value, kind, f"{path}: {place}")
        if len({key for key, _ in pairs}) < len(pairs):
            raise SourceError(f"{path}: {place}: a key is repeated: {shown!r}")
        rows += 1
    return rows


def _read_json(text: str, path: Path) -> Iterator[tuple[str, Any, str]]:
    """Where each object is, the object as pairs, and its beginning."""
    if text.lstrip().startswith("["):
        try:
            objects = json.loads(text, object_pairs_hook=_Pairs)
        except ValueError as error:
            raise SourceError(f"{path}: not JSON: {error}; the file is truncated or damaged") from error
        yield from ((f"object {place}", one, str(one)[:120]) for place, one in enumerate(objects, start=1))
        return
    for place, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"line {place}", json.loads(line, object_pairs_hook=_Pairs), line[:120]
        except ValueError as error:
            raise SourceError(
                f"{path}: line {place}: not JSON: {error}; the file is truncated or damaged: {line[:120]!r}"
            ) from error


def _flatten(pairs: _Pairs, cells: Mapping[str, str], before: str = "") -> Iterator[tuple[str, Any]]:
    """The pairs of an object, those of objects in it with dots, unless the object itself is declared."""
    for key, value in pairs:
        name = f"{before}{key}"
        if isinstance(value, _Pairs) and name not in cells:
            yield from _flatten(value, cells, f"{name}.")
        else:
            yield name, value


def _check_value(key: str, value: Any, kind: str, where: str) -> None:
    if isinstance(value, _Pairs):
        inner = value[0][0] if value else "part"
        raise SourceError(
            f"{where}: the key {key!r} is an object, and source.cells states {kind}; name its parts with dots, such as "
            f"{key}.{inner}, or state ignore"
        )
    if isinstance(value, list) != (kind == "list") and value is not None:
        came = "a list" if isinstance(value, list) else f"{value!r:.40}"
        raise SourceError(f"{where}: the key {key!r}: source.cells states {kind}, got {came}; state list, or ignore")


def count_sheet(path: Path, declared: Declared, sheet: str | None) -> int:
    """Data rows of a sheet of a workbook with a header. Empty rows are none."""
    try:
        rows = readers.read_sheet(str(path), {"sheet": sheet})
        check_names([str(cell) for cell in next(rows, [])], declared, path, ",")
        return sum(1 for _ in rows)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error


def count_typed(kind: str, path: Path, declared: Declared) -> int:
    """Rows of a file with a schema. Every page is read once, because a valid footer does not prove valid pages."""
    import pyarrow as pa

    try:
        schema = readers.find_schema(kind, str(path), {})
        check_names(_names_of(schema, declared), declared, path)
        binary = [name for name, (found, _) in find_types(kind, path, declared).items() if physical.is_binary(found)]
        rows = 0
        for one in readers.read_tables(kind, str(path), {"at_once": ROWS_OF_A_GROUP}):
            _check_text(one, binary, declared, f"{path}: rows {rows + 1} to {rows + one.num_rows}")
            rows += one.num_rows
        return rows
    except SourceError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{path}: cannot be read: {str(error)[:200]}; it is truncated or damaged; deliver it again"
        ) from error
    except Exception as error:  # fastavro raises the errors of its decoder: EOFError, ValueError, IndexError, struct.error
        raise SourceError(f"{path}: not a complete {kind} file: {str(error)[:200]}; deliver it again") from error


def _check_text(table: Any, binary: Sequence[str], declared: Declared, where: str) -> None:
    """Refuse bytes that are no text before Spark reads them."""
    import pyarrow as pa

    flat = physical.flatten(table, declared.cells) if binary else table
    for name in binary:
        try:
            physical.deliver(flat[name], pa.string())
        except ValueError as error:
            raise SourceError(f"{where}: column {name!r} {error}") from error


def _names_of(schema: Any, declared: Declared) -> list[str]:
    """The columns of a schema, parts of structs with dots, without an index of pandas that nobody declared."""
    table = physical.flatten(schema.empty_table(), declared.cells)
    pandas = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    index = {one for one in pandas.get("index_columns", ()) if isinstance(one, str)} - set(declared.cells)
    return [name for name in table.column_names if name not in index]


def find_types(kind: str, path: Path, declared: Declared) -> dict[str, tuple[Any, Any]]:
    """Each kept column of a file with a schema: its Arrow type in the file, and that in which it is delivered.

    Raises
    ------
    SourceError : a column's type does not fit the stated one. The message names both, and what to do.
    """
    schema = physical.flatten(readers.find_schema(kind, str(path), {}).empty_table(), declared.cells).schema
    found = {}
    unions = readers.find_unions(str(path)) if kind == "avro" else {}
    for name, stated in declared.kept.items():
        if name in unions:
            raise SourceError(
                f"{path}: column {name!r} is a union of {unions[name]}, and source.cells states {stated}; write it in one "
                "type, or state ignore"
            )
        if name in schema.names:
            plain = schema.field(name).type
            try:
                found[name] = (plain, physical.find_type(stated, plain))
            except ValueError as error:
                raise SourceError(f"{path}: column {name!r} {error}") from error
    return found


@dataclass(frozen=True)
class Plan:
    """How files with a schema are read.

    Parameters
    ----------
    types : column -> the Arrow type in which it is delivered.
    is_native : whether Spark's own reader delivers these types.
    """

    types: Mapping[str, Any]
    is_native: bool

    @property
    def local(self) -> set[str]:
        """The columns whose times have no offset: local times of whoever wrote the files."""
        import pyarrow as pa

        return {name for name, one in self.types.items() if pa.types.is_timestamp(one) and one.tz is None}


def plan_types(kind: str, paths: Sequence[Path], declared: Declared) -> Plan:
    """One plan for all files of a window.

    Raises
    ------
    SourceError : files hold a column in types that cannot be one, such as times with an offset and times without.
    """
    files = [find_types(kind, path, declared) for path in paths]
    types: dict[str, Any] = {}
    for name in declared.kept:
        try:
            types[name] = physical.unite([file[name][1] for file in files if name in file])
        except ValueError as error:
            places: dict[str, Path] = {}
            for path, file in zip(paths, files, strict=True):
                if name in file:
                    places.setdefault(str(file[name][1]), path)
            listed = ", ".join(f"{one} in {path.name}" for one, path in places.items())
            raise SourceError(
                f"{paths[0].parent}: column {name!r} is {listed}: {error} cannot be one column; write it in one type in all "
                "files of a window"
            ) from error
    is_native = kind in {"parquet", "orc"} and all(
        physical.is_native(found, types[name], is_exact=kind == "orc") for file in files for name, (found, _) in file.items()
    )
    return Plan(types, is_native)
