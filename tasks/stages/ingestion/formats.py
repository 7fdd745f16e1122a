"""Checks of a file before Spark reads it: is it complete, has it the declared columns, how many rows has it?

Each check uses another parser than Spark, so that a file on which the two disagree is refused.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts.cells import CellType
from tasks.errors import SourceError
from tasks.stages.ingestion.base import decode
from tasks.stages.ingestion.cells import ROWS_OF_A_GROUP, arrow_schema, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMPRESSIONS = {".gz": gzip.decompress, ".bz2": bz2.decompress}


def decompress(content: bytes, path: Path) -> bytes:
    """The content of a file, decompressed where its name ends in .gz or .bz2."""
    unpack = COMPRESSIONS.get(path.suffix)
    if unpack is None:
        return content
    try:
        return unpack(content)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SourceError(f"{path}: not a complete {path.suffix} file: {error}; deliver it again") from error


def count_csv(content: bytes, path: Path, names: Sequence[str], encoding: str, delimiter: str) -> int:
    """Data rows of a CSV file with a header, each with all fields."""
    rows, places = 0, content.count(b"\n")
    lines = csv.reader(io.StringIO(decode(content, path, encoding), newline=""), delimiter=delimiter, strict=True)
    try:
        check_names(next(lines, []), names, path, delimiter)
        for fields in lines:
            if fields and len(fields) != len(names):
                cut = "; the file is truncated" if lines.line_num > places else ""
                raise SourceError(
                    f"{path}: line {lines.line_num}: expected {len(names)} fields, got {len(fields)}: "
                    f"{delimiter.join(fields)[:120]!r}{cut}; deliver it again"
                )
            rows += bool(fields)
    except csv.Error as error:
        raise SourceError(
            f"{path}: line {lines.line_num}: not CSV: {error}; the file is truncated, or a quote is not closed"
        ) from error
    return rows


def check_names(found: Sequence[str], names: Sequence[str], path: Path, delimiter: str | None = None) -> None:
    """Refuse a header that is not the declared one. Formats with named columns may order them differently."""
    if list(found) == list(names) or (delimiter is None and sorted(found) == sorted(names)):
        return
    expected = f"expected the header {','.join(names)}"
    if delimiter is not None:
        others = [other for other in (",", ";", "\t", "|", ":") if other != delimiter and other in "".join(found)]
        if len(found) <= 1 and others:
            raise SourceError(f"{path}: line 1: expected the delimiter {delimiter!r}, got {others[0]!r}; {expected}")
    faults = []
    if missing := [name for name in names if name not in found]:
        faults.append(f"missing: {', '.join(missing)}")
    if extra := [name for name in found if name not in names]:
        faults.append(f"unknown: {', '.join(map(repr, extra[:5]))}{f' and {len(extra) - 5} more' if len(extra) > 5 else ''}")
    if repeated := sorted({name for name in found if list(found).count(name) > 1} if len(found) < 200 else ()):
        faults.append(f"repeated: {', '.join(repeated)}")
    raise SourceError(
        f"{path}: line 1: {'; '.join(faults) or 'the columns are in another order'}; {expected}, got {','.join(found)[:500]}"
    )


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as pairs, which keeps repeated keys."""


def count_jsonl(content: bytes, path: Path, names: Sequence[str]) -> int:
    """Lines of a JSON lines file, each an object with known keys. A missing key is an empty cell."""
    rows, allowed = 0, set(names)
    for place, line in enumerate(decode(content, path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            pairs = json.loads(line, object_pairs_hook=_Pairs)
        except ValueError as error:
            raise SourceError(
                f"{path}: line {place}: not JSON: {error}; the file is truncated or damaged: {line[:120]!r}"
            ) from error
        if not isinstance(pairs, _Pairs) or any(isinstance(value, list) for _, value in pairs):
            raise SourceError(f"{path}: line {place}: expected a flat JSON object, got {line[:120]!r}")
        keys = [key for key, _ in pairs]
        if unknown := [key for key in keys if key not in allowed]:
            raise SourceError(
                f"{path}: line {place}: unknown: {', '.join(map(repr, unknown[:5]))}; allowed: {', '.join(names)}"
            )
        if len(set(keys)) < len(keys):
            raise SourceError(f"{path}: line {place}: a key is repeated: {line[:120]!r}")
        rows += 1
    return rows


def count_parquet(path: Path, names: Sequence[str]) -> int:
    """Rows of a Parquet file. Every page is read once, because a valid footer does not prove valid pages."""
    import pyarrow.parquet as pq

    return _count_arrow(path, names, lambda: pq.ParquetFile(path), lambda file: file.iter_batches())


def count_orc(path: Path, names: Sequence[str]) -> int:
    """Rows of an ORC file. Every stripe is read once."""
    from pyarrow import orc

    return _count_arrow(
        path, names, lambda: orc.ORCFile(path), lambda file: (file.read_stripe(n) for n in range(file.nstripes))
    )


def _count_arrow(path: Path, names: Sequence[str], open_file: Any, batches: Any) -> int:
    import pyarrow as pa

    try:
        file = open_file()
        schema = file.schema_arrow if hasattr(file, "schema_arrow") else file.schema
        check_names(schema.names, names, path)
        return sum(batch.num_rows for batch in batches(file))
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{path}: cannot be read: {str(error)[:200]}; it is truncated or damaged; deliver it again"
        ) from error


def count_avro(path: Path, names: Sequence[str]) -> int:
    """Records of an Avro container. Every block is read up to its sync marker."""
    import fastavro

    try:
        with path.open("rb") as stream:
            blocks = fastavro.block_reader(stream)
            schema = blocks.writer_schema
            fields = [field["name"] for field in schema["fields"]] if isinstance(schema, dict) else []
            check_names(fields, names, path)
            return sum(block.num_records for block in blocks)
    except SourceError:
        raise
    except Exception as error:  # fastavro raises the errors of its decoder: EOFError, ValueError, IndexError, struct.error
        raise SourceError(f"{path}: not a complete Avro file: {str(error)[:200]}; deliver it again") from error


def find_local_times(format_name: str, paths: Sequence[Path]) -> set[str]:
    """The columns whose times have no offset: local times of whoever wrote the files.

    Raises
    ------
    SourceError : a column has such times in some of the files only.
    """
    found = [(_LOCAL_TIMES[format_name](path), path) for path in paths]
    local = {name for names, _ in found for name in names}
    for names, path in found:
        if missing := sorted(local - names):
            raise SourceError(
                f"{path}: times of {', '.join(missing)} have an offset, and those of other files of this window have none; "
                "write all files with it, or all without it"
            )
    return local


def local_times_of_arrow(schema: Any) -> set[str]:
    """The columns of a schema whose times have no zone."""
    import pyarrow as pa

    return {field.name for field in schema if pa.types.is_timestamp(field.type) and field.type.tz is None}


def _local_times_of_parquet(path: Path) -> set[str]:
    import pyarrow.parquet as pq

    return local_times_of_arrow(pq.read_schema(path))


def _local_times_of_orc(path: Path) -> set[str]:
    from pyarrow import orc

    return local_times_of_arrow(orc.ORCFile(path).schema)


def _local_times_of_avro(path: Path) -> set[str]:
    import fastavro

    with path.open("rb") as stream:
        schema: Any = fastavro.block_reader(stream).writer_schema
    return {field["name"] for field in schema["fields"] if "local-timestamp" in json.dumps(field["type"])}


_LOCAL_TIMES = {"parquet": _local_times_of_parquet, "orc": _local_times_of_orc, "avro": _local_times_of_avro}


def read_avro(spark: SparkSession, paths: Sequence[Path], cells: Mapping[str, CellType]) -> DataFrame:
    """The cells of Avro files with `source_file` and `row_id`, one task for each file.

    pyspark does not contain Spark's Avro reader. It is a separate jar on Maven.
    """
    from tasks import columns as c

    keys, types, at_once = (c.SOURCE_FILE, c.ROW_ID), arrow_schema(cells), ROWS_OF_A_GROUP

    def read(batches: Iterator[Any]) -> Iterator[Any]:
        import itertools
        import os

        import fastavro
        import pyarrow as pa

        whole = pa.schema([*((key, pa.string()) for key in keys), *types])
        for path in itertools.chain.from_iterable(batch.column(0).to_pylist() for batch in batches):
            name = os.path.basename(path)  # noqa: PTH119  a worker cannot import this module
            with open(path, "rb") as stream:  # noqa: PTH123
                numbered = enumerate(fastavro.reader(stream), start=1)
                while some := list(itertools.islice(numbered, at_once)):
                    rows = [{**record, keys[0]: name, keys[1]: f"{name}:{place}"} for place, record in some]
                    yield pa.RecordBatch.from_pylist(rows, whole)

    listed = spark.createDataFrame([(str(path.resolve()),) for path in paths], "path string")
    return listed.repartition(len(paths)).mapInArrow(read, f"{keys[0]} string, {keys[1]} string, {spark_schema(cells)}")
