"""Files of any format -> tables of Arrow. Without Spark, and sent to its workers by value, as `physical` is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.stages.ingestion.physical import as_delivered


def read_tables(kind: str, path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    """The rows of a file in tables of a bounded number of rows. `options`: what `_READERS` of the kind need."""
    return _READERS[kind](path, options)


def find_schema(kind: str, path: str, options: Mapping[str, Any]) -> Any:
    """The Arrow schema of a file whose format has one."""
    import pyarrow as pa

    if kind == "parquet":
        return open_parquet(path).schema_arrow
    if kind == "orc":
        from pyarrow import orc

        return orc.ORCFile(path).schema
    if kind == "arrow":
        with pa.OSFile(path) as stream:
            return _open_ipc(stream).schema
    import fastavro

    with open(path, "rb") as stream:  # noqa: PTH123  this module is sent to workers, which need no pathlib for it
        return pa.schema(schema_of_avro(fastavro.block_reader(stream).writer_schema))


def open_parquet(path: str) -> Any:
    """A Parquet file. The old times of 96 bits are read in microseconds, because nanoseconds end in the year 2262."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, coerce_int96_timestamp_unit="us")


def _read_parquet(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    groups = options.get("groups")
    yield from open_parquet(path).iter_batches(options["at_once"], row_groups=groups)


def _read_orc(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    from pyarrow import orc

    file = orc.ORCFile(path)
    for stripe in range(file.nstripes):
        yield file.read_stripe(stripe)


def _open_ipc(stream: Any) -> Any:
    import pyarrow as pa
    from pyarrow import ipc

    try:
        return ipc.open_file(stream)
    except pa.ArrowInvalid:
        stream.seek(0)
        return ipc.open_stream(stream)


def _read_arrow(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    import pyarrow as pa

    with pa.OSFile(path) as stream:
        reader = _open_ipc(stream)
        if hasattr(reader, "num_record_batches"):
            yield from (reader.get_batch(place) for place in range(reader.num_record_batches))
        else:
            yield from reader


def _read_avro(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    import itertools

    import fastavro
    import pyarrow as pa

    with open(path, "rb") as stream:  # noqa: PTH123  as above
        records = fastavro.reader(stream)
        schema = pa.schema(schema_of_avro(records.writer_schema))
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        while some := list(itertools.islice(records, options["at_once"])):
            for record in some:  # UUIDs and unions come as values of Python
                record.update({name: str(record[name]) for name in texts if record.get(name) is not None})
            yield pa.Table.from_pylist(some, schema)


def find_unions(path: str) -> dict[str, str]:
    """The fields of an Avro file that are of several types: no columns. Each with the names of its types."""
    import fastavro

    with open(path, "rb") as stream:  # noqa: PTH123  as above
        schema: Any = fastavro.block_reader(stream).writer_schema
    fields = {field["name"]: field["type"] for field in schema.get("fields", []) if isinstance(field["type"], list)}
    kinds = {
        name: [str(one.get("type") if isinstance(one, dict) else one) for one in types if one != "null"]
        for name, types in fields.items()
    }
    return {name: " and ".join(types) for name, types in kinds.items() if len(types) > 1}


def schema_of_avro(schema: Any) -> list[tuple[str, Any]]:
    """The fields of an Avro record as Arrow types."""
    fields = schema.get("fields", []) if isinstance(schema, dict) else []
    named: dict[str, Any] = {}
    return [(field["name"], _type_of_avro(field["type"], named)) for field in fields]


_SIMPLE = {
    "string": "string",
    "int": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "boolean": "bool_",
    "bytes": "binary",
    "null": "null",
    "enum": "string",
    "fixed": "binary",
}
_LOGICAL = {
    "timestamp-millis": ("timestamp", "us", "UTC"),
    "timestamp-micros": ("timestamp", "us", "UTC"),
    "timestamp-nanos": ("timestamp", "ns", "UTC"),
    "local-timestamp-millis": ("timestamp", "us"),
    "local-timestamp-micros": ("timestamp", "us"),
    "local-timestamp-nanos": ("timestamp", "ns"),
    "date": ("date32",),
    "time-millis": ("time64", "us"),
    "time-micros": ("time64", "us"),
    "uuid": ("string",),
}


def _type_of_avro(found: Any, named: dict[str, Any]) -> Any:
    """The Arrow type of an Avro type. `named` holds the types that have a name, which later fields may use."""
    import pyarrow as pa

    if isinstance(found, list):
        kinds = [_type_of_avro(one, named) for one in found if one != "null"]
        return pa.null() if not kinds else kinds[0] if len(kinds) == 1 else pa.string()  # unions are refused by name
    if isinstance(found, str):
        return getattr(pa, _SIMPLE[found])() if found in _SIMPLE else named[found]
    made = _made_of_avro(found, named)
    if "name" in found:
        named[found["name"]] = made
    return made


def _made_of_avro(found: Mapping[str, Any], named: dict[str, Any]) -> Any:
    import pyarrow as pa

    logical, kind = found.get("logicalType"), found["type"]
    if logical == "decimal":
        return pa.decimal128(found["precision"], found.get("scale", 0))
    if logical in _LOGICAL:
        name, *arguments = _LOGICAL[logical]
        return getattr(pa, name)(*arguments)
    if kind == "array":
        return pa.list_(_type_of_avro(found["items"], named))
    if kind == "map":
        return pa.map_(pa.string(), _type_of_avro(found["values"], named))
    return pa.struct(schema_of_avro(found)) if kind == "record" else _type_of_avro(kind, named)


# formats of text: every cell is text, as in CSV

PACKED = (".gz", ".bz2", ".zip")  # what `unpack` unpacks


def unpack(content: bytes, name: str) -> bytes:
    """The content of a file, decompressed where its name ends in .gz, .bz2 or .zip.

    Raises
    ------
    ValueError : it is damaged, or an archive of other than one file.
    """
    import bz2
    import gzip
    import io
    import zipfile
    import zlib

    ending = name[name.rfind(".") :].lower()
    try:
        if ending == ".gz":
            return gzip.decompress(content)
        if ending == ".bz2":
            return bz2.decompress(content)
        if ending != ".zip":
            return content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [one for one in archive.namelist() if not one.endswith("/") and not re.search(r"(^|/)(__MACOSX/|\.)", one)]
            if len(files) != 1:
                raise ValueError(f"expected one file in the archive, got {len(files)}: {', '.join(files[:5])}")
            return archive.read(files[0])
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"not a complete {ending} file: {error}") from error


DELIMITER_LINE = re.compile("sep=(.)\r?\n", re.IGNORECASE)  # how Excel states the delimiter, before the header


def read_records(path: str, options: Mapping[str, Any]) -> Iterator[list[str]]:
    """The records of a CSV file from its header on."""
    import csv
    import itertools

    with open_text(path, options["encoding"]) as stream:
        first = stream.readline()
        found = DELIMITER_LINE.fullmatch(first)
        lines = stream if found else itertools.chain([first], stream)
        yield from csv.reader(lines, delimiter=found[1] if found else options["delimiter"], strict=True)


def open_text(path: str, encoding: str) -> Any:
    """A file of text as a stream, decompressed, without a byte order mark."""
    import bz2
    import gzip
    import io

    name, encoding = path.lower(), "utf-8-sig" if encoding == "utf-8" else encoding
    if name.endswith(".zip"):
        with open(path, "rb") as stream:  # noqa: PTH123  as above
            return io.StringIO(unpack(stream.read(), path).decode(encoding), newline="")
    opener: Any = gzip.open if name.endswith(".gz") else bz2.open if name.endswith(".bz2") else open
    return opener(path, "rt", encoding=encoding, newline="")


def _read_csv(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    records = read_records(path, options)
    yield from _as_tables(next(records), (record for record in records if record), options["at_once"])


def _as_tables(header: list[str], records: Iterator[list[str]], at_once: int) -> Iterator[Any]:
    """Tables of text. Of several columns without a name the last one stays."""
    import itertools

    import pyarrow as pa

    while some := list(itertools.islice(records, at_once)):
        columns = {
            name: pa.array([one or None for one in cells], pa.string())
            for name, cells in zip(header, zip(*some, strict=True), strict=True)
        }
        yield pa.table(columns)


def read_objects(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of JSON lines, or of one array, numbered. Numbers stay as they are written."""
    import json

    reader: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": str}
    if text.lstrip("\ufeff \t\r\n").startswith("["):
        yield from enumerate(json.loads(text, **reader), start=1)
        return
    for place, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield place, json.loads(line, **reader)


def flatten_object(found: Mapping[str, Any], stated: Mapping[str, str], before: str = "") -> dict[str, Any]:
    """The keys of an object, those of objects in it with dots, unless the YAML states the object itself."""
    flat: dict[str, Any] = {}
    for key, value in found.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and name not in stated:
            flat.update(flatten_object(value, stated, f"{name}."))
        else:
            flat[name] = value
    return flat


def _read_jsonl(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    import itertools

    import pyarrow as pa

    stated = options["stated"]
    schema = pa.schema(
        [(name, pa.list_(pa.string()) if kind == "list" else pa.string()) for name, kind in stated.items() if kind != "ignore"]
    )
    with open_text(path, "utf-8") as stream:
        objects = read_objects(stream.read())
        while some := list(itertools.islice(objects, options["at_once"])):
            rows = [{name: show_json(value) for name, value in flatten_object(one, stated).items()} for _, one in some]
            yield pa.Table.from_pylist(rows, schema)


def show_json(value: Any) -> Any:
    """A value of JSON as the text of its cell, or a list of them."""
    if isinstance(value, list):
        return [show_json(one) for one in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _read_xlsx(path: str, options: Mapping[str, Any]) -> Iterator[Any]:
    rows = read_sheet(path, options)
    header = [str(one) for one in next(rows)]
    forms = [options["forms"].get(name, ("yyyy-MM-dd HH:mm:ss", ".")) for name in header]
    records = ([show_cell(cell, *form) for cell, form in zip(row, forms, strict=True)] for row in rows)
    yield from _as_tables(header, records, options["at_once"])


def read_sheet(path: str, options: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The rows of a sheet from its header on, without empty ones.

    Raises
    ------
    ValueError : the file is damaged, needs a password, or has no such sheet.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book, name = CalamineWorkbook.from_path(path), options["sheet"]
        if name is not None and name not in book.sheet_names:
            raise ValueError(f"no sheet {name!r}; the sheets are: {', '.join(book.sheet_names)}")
        sheet = book.get_sheet_by_index(0) if name is None else book.get_sheet_by_name(name)
        yield from (row for row in sheet.to_python() if any(cell != "" for cell in row))
    except (CalamineError, OSError) as error:
        raise ValueError(f"not a workbook that can be read: {error}") from error


def show_cell(cell: Any, pattern: str, decimal: str) -> str:
    """A cell of a workbook as the column's text: times by its pattern, numbers with its decimal sign, whole ones without."""
    import datetime

    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**63 else repr(cell).replace(".", decimal)
    if isinstance(cell, datetime.datetime):
        return show_time(cell, pattern)
    if isinstance(cell, datetime.date):
        return show_time(datetime.datetime.combine(cell, datetime.time()), pattern)
    return str(cell)


def show_time(moment: Any, pattern: str) -> str:
    """A time as text by a pattern of Spark. Letters that a workbook cannot fill, such as a zone's, give the ISO form."""
    parts = {"y": moment.year, "M": moment.month, "d": moment.day, "H": moment.hour, "m": moment.minute, "s": moment.second}
    parts["h"] = moment.hour % 12 or 12

    def fill(found: re.Match[str]) -> str:
        field = found[0]
        if field.startswith("'"):
            return found[1] or "'"
        if field[0] == "M" and len(field) > 2:
            return str(moment.strftime("%b" if len(field) == 3 else "%B"))
        if field[0] == "S":
            return f"{moment.microsecond:06d}000"[: len(field)]
        if field[0] == "a":
            return "AM" if moment.hour < 12 else "PM"
        value = parts[field[0]] % 100 if field == "yy" else parts[field[0]]
        return str(value).zfill(len(field))

    fields = re.compile(r"'([^']*)'|([A-Za-z])\2*")
    if any(found[2] not in {None, *parts, "S", "a"} for found in fields.finditer(pattern)):
        return str(moment.isoformat(" "))
    return fields.sub(fill, pattern.replace("[", "").replace("]", ""))


_READERS = {
    "parquet": _read_parquet,
    "orc": _read_orc,
    "arrow": _read_arrow,
    "avro": _read_avro,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "xlsx": _read_xlsx,
}


def read_in_workers(
    kind: str, stated: Mapping[str, str], types: Mapping[str, Any], marks: tuple[str, str], options: Mapping[str, Any]
) -> Any:
    """The function for `mapInArrow` that reads the files of its rows: path, name, first place, and groups of rows.

    Parameters
    ----------
    stated, types : column -> the type in the YAML, and that in which it is delivered.
    marks : names of the columns for the file's name and the number of the row in it.
    """

    def read(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for batch in batches:
            for path, name, first, groups in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                place = first
                try:
                    for found in read_tables(kind, path, {**options, "groups": groups}):
                        table = as_delivered(found, stated, types)
                        rows = table.num_rows
                        names = pa.array([name], pa.string()).take(pa.array([0] * rows, pa.int32()))
                        numbers = pa.array(range(place, place + rows), pa.int64())
                        marked = table.append_column(marks[0], names).append_column(marks[1], numbers)
                        yield from marked.combine_chunks().to_batches(max_chunksize=options["at_once"])
                        place += rows
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error

    return read
