"""What is looked at before a file is read: is it whole, has it the stated columns, how many rows has it?

Each check reads the file with a parser that is not Spark's, so that a file on which two parsers disagree is refused.
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

from tasks.errors import SourceError
from tasks.stages.ingestion.base import decode
from tasks.stages.ingestion.cells import ROWS_OF_A_GROUP, CellType, arrow_schema, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMPRESSIONS = {".gz": gzip.decompress, ".bz2": bz2.decompress}


def decompress(content: bytes, path: Path) -> bytes:
    """The content of a file whose name ends in .gz or .bz2; others as they are."""
    unpack = COMPRESSIONS.get(path.suffix)
    if unpack is None:
        return content
    try:
        return unpack(content)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SourceError(
            f"{path}: not a whole {path.suffix} file: {error}; it is cut off or damaged; deliver it again"
        ) from error


def count_csv(content: bytes, path: Path, names: Sequence[str], encoding: str, delimiter: str) -> int:
    """Data rows of a CSV file with a header, each with all fields."""
    rows, places = 0, content.count(b"\n")
    lines = csv.reader(io.StringIO(decode(content, path, encoding), newline=""), delimiter=delimiter, strict=True)
    try:
        check_names(next(lines, []), names, path, delimiter)
        for fields in lines:
            if fields and len(fields) != len(names):
                cut = "; the file is cut off at its end" if lines.line_num > places else ""
                raise SourceError(
                    f"{path}: line {lines.line_num}: {len(names)} fields are allowed; got {len(fields)}: "
                    f"{delimiter.join(fields)[:120]!r}{cut}; deliver it again"
                )
            rows += bool(fields)
    except csv.Error as error:
        raise SourceError(
            f"{path}: line {lines.line_num}: not CSV: {error}; the file is cut off, or a quote is open"
        ) from error
    return rows


def check_names(came: Sequence[str], names: Sequence[str], path: Path, delimiter: str | None = None) -> None:
    """Refuse a header that is not the stated one. Files whose columns have names need not keep their order."""
    if list(came) == list(names) or (delimiter is None and sorted(came) == sorted(names)):
        return
    allowed = f"the header is {','.join(names)}"
    if delimiter is not None:
        others = [other for other in (",", ";", "\t", "|", ":") if other != delimiter and other in "".join(came)]
        if len(came) <= 1 and others:
            raise SourceError(f"{path}: line 1: fields are split by {delimiter!r}; got {others[0]!r}; {allowed}")
    faults = []
    if missing := [name for name in names if name not in came]:
        faults.append(f"missing: {', '.join(missing)}")
    if extra := [name for name in came if name not in names]:
        faults.append(f"not known: {', '.join(map(repr, extra[:5]))}{f' and {len(extra) - 5} more' if len(extra) > 5 else ''}")
    if repeated := sorted({name for name in came if list(came).count(name) > 1} if len(came) < 200 else ()):
        faults.append(f"twice: {', '.join(repeated)}")
    raise SourceError(
        f"{path}: line 1: {'; '.join(faults) or 'the columns stand in another order'}; {allowed}; got {','.join(came)[:500]}"
    )


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it stands, with keys that stand twice."""


def count_jsonl(content: bytes, path: Path, names: Sequence[str]) -> int:
    """Lines of a JSON lines file, each an object with known keys; a key that is not there is an empty cell."""
    rows, allowed = 0, set(names)
    for place, line in enumerate(decode(content, path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            pairs = json.loads(line, object_pairs_hook=_Pairs)
        except ValueError as error:
            raise SourceError(
                f"{path}: line {place}: not JSON: {error}; the file is cut off or damaged: {line[:120]!r}"
            ) from error
        if not isinstance(pairs, _Pairs) or any(isinstance(value, list) for _, value in pairs):
            raise SourceError(f"{path}: line {place}: a flat JSON object is wanted; got {line[:120]!r}")
        keys = [key for key, _ in pairs]
        if unknown := [key for key in keys if key not in allowed]:
            raise SourceError(
                f"{path}: line {place}: not known: {', '.join(map(repr, unknown[:5]))}; allowed: {', '.join(names)}"
            )
        if len(set(keys)) < len(keys):
            raise SourceError(f"{path}: line {place}: a key stands twice: {line[:120]!r}")
        rows += 1
    return rows


def count_parquet(path: Path, names: Sequence[str]) -> int:
    """Rows by the footer, after every page was read once: a footer can stand over damaged pages."""
    import pyarrow.parquet as pq

    return _count_arrow(path, names, lambda: pq.ParquetFile(path), lambda file: file.iter_batches())


def count_orc(path: Path, names: Sequence[str]) -> int:
    """Rows of an ORC file, read once."""
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
        raise SourceError(f"{path}: cannot be read: {str(error)[:200]}; it is cut off or damaged; deliver it again") from error


def count_avro(path: Path, names: Sequence[str]) -> int:
    """Records of an Avro container, block by block, each up to its sync marker."""
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
    except Exception as error:  # fastavro raises what its decoder met: EOFError, ValueError, IndexError, struct.error
        raise SourceError(
            f"{path}: not a whole Avro file: {str(error)[:200]}; it is cut off or damaged; deliver it again"
        ) from error


def read_avro(spark: SparkSession, paths: Sequence[Path], cells: Mapping[str, CellType]) -> DataFrame:
    """The cells of Avro files with `source_file` and `row_id`, a task for each file.

    Spark's own reader of Avro is no part of pyspark: it is a jar of its own that would have to be fetched from Maven.
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
            name = os.path.basename(path)  # noqa: PTH119  a worker has nothing of this module
            with open(path, "rb") as stream:  # noqa: PTH123
                numbered = enumerate(fastavro.reader(stream), start=1)
                while some := list(itertools.islice(numbered, at_once)):
                    rows = [{**record, keys[0]: name, keys[1]: f"{name}:{place}"} for place, record in some]
                    yield pa.RecordBatch.from_pylist(rows, whole)

    listed = spark.createDataFrame([(str(path.resolve()),) for path in paths], "path string")
    return listed.repartition(len(paths)).mapInArrow(read, f"{keys[0]} string, {keys[1]} string, {spark_schema(cells)}")
