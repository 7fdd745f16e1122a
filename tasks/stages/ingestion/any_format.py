"""Files in the usual formats, of any program: how they are checked, and how Spark gets their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from tasks import columns as c
from tasks.contracts.cells import Cell
from tasks.stages.ingestion import formats, physical, readers
from tasks.stages.ingestion.base import FILE, PLACE, number_rows, plain_paths, read_bytes
from tasks.stages.ingestion.cells import ROWS_OF_A_GROUP
from tasks.stages.ingestion.mapped import Mapped

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

LINE, CELLS = f"{c.OWN}line", f"{c.OWN}cells"  # of JSON lines: the text, and its keys
ROWS_OF_A_TASK = 500_000  # of a Parquet file that Spark's own reader does not read
ENDINGS = {
    "csv": ("csv", "tsv", "txt"),
    "jsonl": ("jsonl", "ndjson", "json"),
    "parquet": ("parquet", "pq"),
    "avro": ("avro",),
    "orc": ("orc",),
    "arrow": ("arrow", "feather", "ipc"),
    "xlsx": ("xlsx", "xlsm", "xlsb", "xls", "ods"),
}


class Cells(NamedTuple):
    """What was read.

    frame : `FILE`, `PLACE`, and each column that is kept.
    local : columns of times without an offset.
    as_it_came : the rows as JSON, where the file has them so; None: made of the cells.
    """

    frame: DataFrame
    local: set[str]
    as_it_came: Column | None


class AnyFormat(Mapped):
    """A source of files.

    Attributes
    ----------
    headers : the headers that files had over time, each a list of columns of `cells`. A column that a file lacks is null.
        None: every file has all columns.
    sheet : of a workbook; None: the first one.
    """

    format: Literal["csv", "jsonl", "parquet", "avro", "orc", "arrow", "xlsx"] = "csv"
    encoding: Literal["utf-8", "iso-8859-1", "windows-1252", "utf-16"] = "utf-8"
    delimiter: Literal[",", ";", "\t", "|"] = ","
    headers: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = ()
    sheet: str | None = None

    @model_validator(mode="after")
    def _fits_the_format(self) -> Self:
        if self.encoding != "utf-8" and self.format != "csv":
            raise ValueError(f"encoding applies to csv only; {self.format} files are UTF-8 or declare their own encoding")
        if self.sheet is not None and self.format != "xlsx":
            raise ValueError(f"sheet applies to xlsx only; the format is {self.format}")
        for header in self.headers:
            if unknown := [name for name in header if name not in self.cells]:
                raise ValueError(f"headers: no column {', '.join(unknown)} in cells; allowed: {', '.join(self.cells)}")
        if self.headers and (unused := [name for name in self.cells if not any(name in header for header in self.headers)]):
            raise ValueError(f"headers: {', '.join(unused)} of cells are in none of them")
        if self.format not in {"csv", "xlsx"}:
            for name in self.cells:
                if inner := [other for other in self.cells if other.startswith(f"{name}.")]:
                    raise ValueError(f"cells: {inner[0]} is a part of {name}: state one of the two")
        return self

    @property
    def is_text(self) -> bool:
        return self.format in {"csv", "jsonl", "xlsx"}

    @property
    def may_be_packed(self) -> bool:
        """Whether files may end in .gz, .bz2 or .zip. Other formats compress by themselves."""
        return self.format in {"csv", "jsonl"}

    @property
    def declared(self) -> formats.Declared:
        return formats.Declared(self.types, self.headers)

    def count_rows(self, path: Path) -> tuple[int, str]:
        """The rows of a file and its sha256.

        Raises
        ------
        SourceError : it is unreadable, empty, truncated or of another format, or its columns are others than declared.
        """
        content, sha256 = read_bytes(path)
        if self.format == "csv":
            unpacked = formats.decompress(content, path)
            return formats.count_csv(unpacked, path, self.declared, self.encoding, self.delimiter), sha256
        if self.format == "jsonl":
            return formats.count_jsonl(formats.decompress(content, path), path, self.declared), sha256
        if self.format == "xlsx":
            return formats.count_sheet(path, self.declared, self.sheet), sha256
        return formats.count_typed(self.format, path, self.declared), sha256

    def open_files(self, spark: SparkSession, paths: Sequence[Path]) -> Cells:
        """The cells of files that passed their check."""
        if self.format == "csv":
            return Cells(self._open_csv(spark, paths), set(), None)
        if self.format == "jsonl" and not any(_needs_python(path, self.encoding) for path in paths):
            return self._open_jsonl(spark, paths)
        if self.is_text:
            return Cells(self._read_in_workers(spark, paths, self._text_types()), set(), None)
        plan = formats.plan_types(self.format, paths, self.declared)
        open_planned = self._open_natively if plan.is_native else self._read_in_workers
        return Cells(open_planned(spark, paths, plan.types), plan.local, None)

    def _form_of(self, cell: Cell) -> tuple[str, str]:
        """The pattern of times and the decimal sign in which a column's cells are read."""
        return cell.formats[0] if cell.formats else self.time_format, cell.decimal or self.decimal

    def _text_types(self) -> dict[str, Any]:
        import pyarrow as pa

        is_nested = self.format == "jsonl"
        kept = self.declared.kept.items()
        return {name: pa.list_(pa.string()) if is_nested and kind == "list" else pa.string() for name, kind in kept}

    def _open_csv(self, spark: SparkSession, paths: Sequence[Path]) -> DataFrame:
        """Files of the same header are read at once, by position, so that names may be of any kind."""
        by_header: dict[tuple[str, ...], list[Path]] = {}
        packed = [path for path in paths if _needs_python(path, self.encoding)]
        options = {"encoding": self.encoding, "delimiter": self.delimiter}
        for path in paths:
            if path not in packed:
                header = tuple(next(readers.read_records(str(path), options)))
                by_header.setdefault(header, []).append(path)
        frames = [self._read_csv(spark, some, header) for header, some in by_header.items()]
        if packed:
            frames.append(self._read_in_workers(spark, packed, self._text_types()))
        return reduce(lambda one, other: one.unionByName(other), frames)

    def _read_csv(self, spark: SparkSession, paths: Sequence[Path], header: tuple[str, ...]) -> DataFrame:
        from pyspark.sql import functions as F
        from pyspark.sql.types import StringType, StructField, StructType

        # Spark warns of each name that is not that of the header, and takes no name twice.
        times = Counter(name.lower() for name in header)
        names = [name if name and times[name.lower()] == 1 else f"{c.OWN}cell_{place}" for place, name in enumerate(header)]
        places = dict(zip(header, names, strict=True))
        cells = spark.read.csv(
            plain_paths(paths),
            schema=StructType([StructField(name, StringType()) for name in names]),
            header=True,
            multiLine=True,
            quote='"',
            escape='"',
            sep=self.delimiter,
            encoding=self.encoding,
            maxCharsPerColumn=-1,
            maxColumns=max(20_480, len(header)),
        )
        found, missing = {name: F.col(f"`{place}`") for name, place in places.items()}, F.lit(None).cast("string")
        return number_rows(cells).select(FILE, PLACE, *(found.get(name, missing).alias(name) for name in self.declared.kept))

    def _open_jsonl(self, spark: SparkSession, paths: Sequence[Path]) -> Cells:
        from pyspark.sql import functions as F

        value = F.col("value")
        lines = spark.read.text(plain_paths(paths)).where(F.trim(F.regexp_replace(value, r"[\ufeff\r]", "")) != "")
        numbered = number_rows(lines).select(FILE, PLACE, F.regexp_replace(value, "^\ufeff", "").alias(LINE))
        parsed = numbered.select("*", F.from_json(LINE, _schema_of_json(self._text_types())).alias(CELLS))
        kept = [_json_cell(name).alias(name) for name in self.declared.kept]
        return Cells(parsed.select(FILE, PLACE, LINE, *kept), set(), F.col(LINE))

    def _open_natively(self, spark: SparkSession, paths: Sequence[Path], types: Mapping[str, Any]) -> DataFrame:
        from pyspark.sql import functions as F

        schema = ", ".join(f"`{name}` {physical.spark_type(one)}" for name, one in types.items())
        frame = number_rows(spark.read.format(self.format).schema(schema).load(plain_paths(paths)))
        cells = {name: F.col(f"`{name}`") for name in types}
        known = {
            name: F.when(~F.isnan(cell), cell) if physical.spark_type(types[name]) == "double" else cell
            for name, cell in cells.items()
        }
        return frame.select(FILE, PLACE, *(cell.alias(name) for name, cell in known.items()))

    def _read_in_workers(self, spark: SparkSession, paths: Sequence[Path], types: Mapping[str, Any]) -> DataFrame:
        """The cells by Arrow and Python in Spark's workers, for what its own readers refuse or read as something else."""
        from pyspark import cloudpickle

        for module in (physical, readers):
            cloudpickle.register_pickle_by_value(module)
        options = {
            "at_once": ROWS_OF_A_GROUP,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "sheet": self.sheet,
            "stated": dict(self.declared.cells),
            "forms": {name: self._form_of(cell) for name, cell in self.cells.items()},
        }
        read = readers.read_in_workers(self.format, dict(self.declared.cells), dict(types), (FILE, PLACE), options)
        schema = ", ".join(f"`{name}` {physical.spark_type(one)}" for name, one in types.items())
        tasks = [task for path in paths for task in _slice(self.format, path)]
        listed = spark.createDataFrame(tasks, "path string, name string, first bigint, groups array<int>")
        return listed.repartition(len(tasks)).mapInArrow(read, f"{schema}, {FILE} string, {PLACE} bigint")


def _needs_python(path: Path, encoding: str) -> bool:
    """Whether Spark cannot read a file of text: an archive, an array of JSON objects, or Excel's line before the header."""
    if path.suffix.lower() == ".zip":
        return True
    with readers.open_text(str(path), encoding) as stream:
        head = stream.read(40).lstrip()
    return bool(head.startswith("[") or readers.DELIMITER_LINE.match(head))


def _slice(kind: str, path: Path) -> list[tuple[str, str, int, list[int] | None]]:
    """The parts of a file that a task each reads: path, name, number of the first row, and groups of rows."""
    place, whole = str(path.resolve()), path.name
    if kind != "parquet":
        return [(place, whole, 1, None)]
    metadata = readers.open_parquet(place).metadata
    parts: list[tuple[str, str, int, list[int] | None]] = []
    first, rows, groups = 1, 0, list[int]()
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        groups.append(group)
        if rows >= ROWS_OF_A_TASK or group == metadata.num_row_groups - 1:
            parts.append((place, whole, first, groups))
            first, rows, groups = first + rows, 0, []
    return parts or [(place, whole, 1, [])]


def _schema_of_json(types: dict[str, Any]) -> Any:
    """The schema for `from_json`. A name with dots is a path, or a key with dots."""
    from pyspark.sql.types import StructField, StructType

    tree: dict[str, Any] = {}
    for name, one in types.items():
        tree[name] = one
        *path, last = name.split(".")
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = one

    def make(inner: Mapping[str, Any]) -> StructType:
        return StructType(
            [StructField(name, make(one) if isinstance(one, dict) else _json_type(one)) for name, one in inner.items()]
        )

    return make(tree)


def _json_type(one: Any) -> Any:
    from pyspark.sql.types import ArrayType, StringType

    return ArrayType(StringType()) if physical.spark_type(one) == "array<string>" else StringType()


def _json_cell(name: str) -> Column:
    from pyspark.sql import functions as F

    whole = F.col(f"{CELLS}.`{name}`")
    if "." not in name:
        return whole
    path = ".".join(f"`{part}`" for part in name.split("."))
    return F.coalesce(whole, F.col(f"{CELLS}.{path}"))
