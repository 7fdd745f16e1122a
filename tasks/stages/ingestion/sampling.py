"""A sample of a file, a folder of daily files or a table, without Spark and without a declaration."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args

from tasks.contracts.samples import Sample
from tasks.errors import ConfigurationError, SourceError
from tasks.reasons import translated
from tasks.stages.ingestion import readers
from tasks.stages.ingestion.any_format import ENDINGS, AnyFormat
from tasks.stages.ingestion.databases import DATABASES
from tasks.stages.ingestion.table import NAME_OF_TABLE

ROWS = 20_000
WHOLE_BYTES = 32_000_000  # a file of so many is read whole
BLOCKS, BLOCK_BYTES = 8, 2_000_000  # of a larger one
DAILY_FILES = 12  # of a folder
DELIMITERS: tuple[str, ...] = get_args(AnyFormat.model_fields["delimiter"].annotation)
CHECKED_ROWS = 500
_DAY = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})(?:\.r\d{1,4})?\..+")
_FORMATS = {ending: kind for kind, endings in ENDINGS.items() for ending in endings}
Note = tuple[str, str]


@dataclass(frozen=True)
class _Read:
    """What was read of one file."""

    source: Mapping[str, Any]
    cells: Mapping[str, list[Any]]
    types: Mapping[str, str]
    of_rows: int
    is_whole: bool
    notes: tuple[Note, ...] = ()


def take_sample(place: str, *, table: str = "", rows: int = ROWS) -> Sample:
    """At most about `rows` rows, from all parts of the source.

    Parameters
    ----------
    place : a file, a folder of files by day, or the URL of a database.
    table : the table, of a database.

    Raises
    ------
    ConfigurationError : there is nothing of this name.
    SourceError : it cannot be read, has no header, or is of no known format.
    """
    if "://" in place:
        return _sample_table(place, table, rows)
    path = Path(place)
    if not path.exists():
        raise ConfigurationError(f"{place}: there is no such file or folder")
    days = _find_days(path) if path.is_dir() else {}
    if path.is_dir() and not days:
        files = [one for one in sorted(path.iterdir()) if one.is_file() and not one.name.startswith((".", "_"))]
        if len(files) != 1:
            shown = ", ".join(one.name for one in files[:5]) or "nothing"
            raise SourceError(f"{place}: expected one file, or files named like 2026-01-31.csv, got {shown}")
        path = files[0]
    chosen = _spread(list(days.values()), DAILY_FILES) if days else [path]
    read = [_read_file(one, max(rows // len(chosen), 200)) for one in chosen]
    return _join(place, chosen, read, days)


def _find_days(folder: Path) -> dict[date, Path]:
    found = {}
    for one in sorted(folder.iterdir()):
        if match := _DAY.fullmatch(one.name):
            try:
                found[date.fromisoformat(match["day"])] = one
            except ValueError:
                continue
    return found


def _spread(values: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of some values, evenly, the first and the last among them."""
    if len(values) <= count:
        return list(values)
    return [values[round(place * (len(values) - 1) / (count - 1))] for place in range(count)]


def _join(place: str, files: Sequence[Path], read: Sequence[_Read], days: Mapping[date, Path]) -> Sample:
    """The rows of several files of one form."""
    names = list(dict.fromkeys(name for one in read for name in one.cells))
    counts = [len(next(iter(one.cells.values()), [])) for one in read]
    cells = {
        name: [cell for one, rows in zip(read, counts, strict=True) for cell in one.cells.get(name, [None] * rows)]
        for name in names
    }
    headers = Counter(tuple(one.cells) for one in read)
    notes = list(dict.fromkeys(note for one in read for note in one.notes))
    source: dict[str, Any] = dict(read[0].source)
    if len(headers) > 1:
        source["headers"] = [list(header) for header in headers]
        notes.append(("headers", f"the files have {len(headers)} different headers; other files may have further ones"))
    for setting in ("delimiter", "encoding"):
        found = Counter(one.source[setting] for one in read if setting in one.source)
        if found and (len(found) > 1 or found.total() < len(read)):
            source[setting] = found.most_common(1)[0][0]
            others = found.total() - found[source[setting]]
            if others or setting == "delimiter":
                notes.append((setting, f"not the same in all files: {', '.join(map(repr, found))}"))
    total = sum(one.of_rows for one in read)
    of_rows = total if len(days) <= len(read) else round(total * len(days) / len(read))
    is_whole = all(one.is_whole for one in read) and len(days) <= len(read)
    types = {name: kind for one in read for name, kind in one.types.items()}
    return Sample(place, source, cells, types, sum(counts), of_rows, is_whole, days, tuple(files), tuple(notes))


def _read_file(path: Path, rows: int) -> _Read:
    name = path.name.lower()
    while name.endswith(readers.PACKED):
        name = name.rsplit(".", 1)[0]
    kind = _FORMATS.get(name.rsplit(".", 1)[-1])
    if kind is None:
        kind = "csv"  # u.data and the like
    try:
        if kind in {"csv", "jsonl"}:
            blocks, size = _read_blocks(path)
            return (_read_csv if kind == "csv" else _read_jsonl)(path, blocks, size, rows)
        return _read_sheet(path, rows) if kind == "xlsx" else _read_typed(kind, path, rows)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read: {str(error)[:300]}") from error


# text


def _read_blocks(path: Path) -> tuple[list[bytes], int]:
    """The content, or blocks of whole lines from all parts of a large file, and its whole size in bytes."""
    size = path.stat().st_size
    if not size:
        raise SourceError(f"{path}: the file is empty (0 bytes)")
    if path.suffix.lower() in {".gz", ".bz2"}:
        opened = gzip.open if path.suffix.lower() == ".gz" else bz2.open
        with opened(path, "rb") as stream:
            head = stream.read(WHOLE_BYTES)
            is_whole = not stream.read(1)
        return [head if is_whole else _whole_lines(head, is_first=True)], len(head) if is_whole else len(head) * 2
    if size <= WHOLE_BYTES or path.suffix.lower() == ".zip":
        content = readers.unpack(path.read_bytes(), path.name)
        return [content], len(content)
    with path.open("rb") as stream:
        blocks = []
        for place in range(BLOCKS):
            stream.seek(round(place * (size - BLOCK_BYTES) / (BLOCKS - 1)))
            blocks.append(_whole_lines(stream.read(BLOCK_BYTES), is_first=place == 0))
    return blocks, size


def _whole_lines(block: bytes, *, is_first: bool) -> bytes:
    start = 0 if is_first else block.find(b"\n") + 1
    return block[start : block.rfind(b"\n") + 1]


def _find_encoding(content: bytes) -> tuple[str, list[Note]]:
    """The encoding of a source's files that reads the content."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", []
    sample = content[:4_000_000]
    try:
        sample[: sample.rfind(b"\n") + 1 or None].decode("utf-8")
        return "utf-8", []
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    from charset_normalizer import from_bytes

    high = [byte for byte in sample if byte >= 0x80]
    letters = sum(chr(byte).isalpha() for byte in sample if byte < 0x80)
    if len(high) > 0.3 * (len(high) + letters):  # mostly of another alphabet
        best = from_bytes(sample[:200_000]).best()
        guess = best.encoding if best is not None else "an unknown encoding"
        raise SourceError(f"line {line} is not UTF-8 and looks like {guess}, which no source reads: convert the file to UTF-8")
    text = f"line {line} is not UTF-8; read as windows-1252, the usual encoding of Windows programs. Check the letters"
    return "windows-1252", [("encoding", text)]


def _read_csv(path: Path, blocks: Sequence[bytes], size: int, rows: int) -> _Read:
    encoding, notes = _find_encoding(blocks[0])
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    texts = [block.decode(codec if place == 0 else encoding, errors="replace") for place, block in enumerate(blocks)]
    head = readers.DELIMITER_LINE.match(texts[0])
    texts[0] = texts[0][head.end() :] if head else texts[0]
    delimiter, share = (head[1], 1.0) if head else _find_delimiter(texts[0])
    header = next(csv.reader(io.StringIO(texts[0], newline=""), delimiter=delimiter), [])
    _check_header(path, header, delimiter)
    if share < 1:
        notes.append(("delimiter", f"{1 - share:.1%} of the rows have another number of fields than the header"))
    records: list[list[str]] = []
    for place, text in enumerate(texts):
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        with_header = (record for record in lines if record)
        records += [one for one in itertools.islice(with_header, int(place == 0), None) if len(one) == len(header)]
    is_whole = len(blocks) == 1 and len(records) <= rows and size == len(blocks[0])
    read_bytes = sum(map(len, blocks))
    of_rows = len(records) if read_bytes >= size else round(len(records) * size / read_bytes)
    chosen = _spread(records, rows)
    cells: dict[str, list[Any]] = {}
    for name, column in zip(header, zip(*chosen, strict=True) if chosen else [()] * len(header), strict=True):
        cells[name] = [cell if cell != "" else None for cell in column]
    source: dict[str, Any] = {"format": "csv"}
    source |= {"delimiter": delimiter} if delimiter != "," else {}
    source |= {"encoding": encoding} if encoding != "utf-8" else {}
    return _Read(source, cells, {}, of_rows, is_whole, tuple(notes))


def _find_delimiter(text: str) -> tuple[str, float]:
    """The delimiter that gives most rows the header's number of fields, and their share."""
    best = (0.0, 0, ",")
    for delimiter in DELIMITERS:
        try:
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            found = [record for record in itertools.islice(lines, CHECKED_ROWS) if record]
        except csv.Error:
            continue
        fields = len(found[0]) if found else 0
        if fields > 1:
            best = max(best, (sum(len(record) == fields for record in found) / len(found), fields, delimiter))
    return (best[2], best[0]) if best[1] else (",", 1.0)


def _check_header(path: Path, header: Sequence[str], delimiter: str) -> None:
    """Refuse a first line that is data, or that names a column twice."""
    if sum(bool(re.fullmatch(r"\s*[-+]?[0-9][0-9.,:/ -]*", name)) for name in header) > len(header) / 2:
        raise SourceError(
            f"{path}: line 1: expected the names of the columns, got {delimiter.join(header)[:120]!r}, which look like cells. "
            "Write a header line into the file; u.data of MovieLens is read by the source movielens"
        )
    if repeated := sorted(name for name, times in Counter(header).items() if times > 1):
        raise SourceError(f"{path}: line 1: the header names {', '.join(map(repr, repeated))} twice: rename one of them")


def _read_jsonl(path: Path, blocks: Sequence[bytes], size: int, rows: int) -> _Read:
    objects: list[dict[str, Any]] = []
    for place, block in enumerate(blocks):
        text = block.decode("utf-8-sig" if place == 0 else "utf-8")
        objects += [readers.flatten_object(_as_object(one), {}) for _, one in readers.read_objects(text)]
    chosen = _spread(objects, rows)
    names = list(dict.fromkeys(name for one in objects for name in one))
    cells = {name: [readers.show_json(one.get(name)) for one in chosen] for name in names}
    lists = {name: "list<string>" for name, column in cells.items() if any(isinstance(cell, list) for cell in column)}
    read_bytes = sum(map(len, blocks))
    of_rows = len(objects) if read_bytes >= size else round(len(objects) * size / read_bytes)
    is_whole = read_bytes >= size and len(objects) <= rows
    return _Read({"format": "jsonl"}, cells, lists, of_rows, is_whole)


def _as_object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"expected JSON objects with the columns as keys, got {found!r}"[:200])
    return found


# typed formats


def _read_sheet(path: Path, rows: int) -> _Read:
    found = readers.read_sheet(str(path), {"sheet": None})
    header = [str(cell) for cell in next(found, [])]
    _check_header(path, header, ",")
    records = [[readers.show_cell(cell, "yyyy-MM-dd HH:mm:ss", ".") or None for cell in row] for row in found]
    chosen = _spread(records, rows)
    columns = zip(*chosen, strict=True) if chosen else [()] * len(header)
    cells = {name: list(column) for name, column in zip(header, columns, strict=True)}
    return _Read({"format": "xlsx"}, cells, {}, len(records), len(records) <= rows)


def _read_typed(kind: str, path: Path, rows: int) -> _Read:
    """Parquet, ORC, Avro, Arrow: batches from all parts, of which some rows."""
    schema = readers.find_schema(kind, str(path), {})
    options: dict[str, Any] = {"at_once": 65_536}
    of_rows = 0
    if kind == "parquet":
        metadata = readers.open_parquet(str(path)).metadata
        options["groups"], of_rows = sorted(set(_spread(range(metadata.num_row_groups), BLOCKS))), metadata.num_rows
    batches = list(readers.read_tables(kind, str(path), options))
    total = sum(batch.num_rows for batch in batches)
    places = _spread(range(total), rows)
    cells = {name: _take(batches, place, places) for place, name in enumerate(schema.names)}
    types = {one.name: str(one.type) for one in schema}
    return _Read({"format": kind}, cells, types, max(of_rows, total), max(of_rows, total) == len(places))


def _take(batches: Sequence[Any], column: int, places: Sequence[int]) -> list[Any]:
    import pyarrow as pa

    parts = [part for batch in batches for part in _arrays_of(batch.column(column))]
    whole = pa.chunked_array(parts)
    if pa.types.is_timestamp(whole.type) and whole.type.unit == "ns":
        whole = whole.cast(pa.timestamp("us", whole.type.tz), safe=False)
    return list(whole.take(pa.array(places, pa.int64())).to_pylist())


def _arrays_of(column: Any) -> Iterator[Any]:
    yield from (column.chunks if hasattr(column, "chunks") else [column])


# tables


def _sample_table(url: str, table: str, rows: int) -> Sample:
    """Some rows of a table of a database."""
    scheme = url.partition("://")[0]
    if scheme not in DATABASES:
        raise ConfigurationError(f"expected the address of a database ({', '.join(sorted(DATABASES))}), got {scheme}://")
    if not re.fullmatch(NAME_OF_TABLE, table):
        raise ConfigurationError(f"expected the name of a table, as in --table shop.orders, got {table!r}")
    where = f"{table} of {url}"
    with translated(where, kind=SourceError):
        drawn = DATABASES[scheme](url).sample(table, rows)
    count = drawn.rows.num_rows
    cells = {name: _take([drawn.rows], place, range(count)) for place, name in enumerate(drawn.rows.column_names)}
    types = {one.name: str(one.type) for one in drawn.rows.schema} if drawn.is_typed else {}
    source = {"kind": "table", "url": url, "table": table}
    return Sample(where, source, cells, types, count, drawn.of_rows, drawn.of_rows == count)
