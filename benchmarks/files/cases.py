"""Kinds of files that people have: each with its right value, or its right refusal, written down before it is read.

`report` names the public report or file that the kind comes from. Files are our own and small. A case is one file of one day,
2026-01-05, unless it writes others.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import fastavro
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
from pyarrow import orc

from benchmarks.files.workbook import make_workbook

Write = Callable[[Path], object]
Cells = Mapping[str, Any]
DAY = "2026-01-05"
AT = "2026-01-05 08:30:00"
MOMENT = datetime(2026, 1, 5, 8, 30)  # noqa: DTZ001  a local time, as files hold it
LINE: Cells = {"at": "string", "who": "id", "what": "id", "pieces": "double", "price": "double"}
NAMES = {"event_at": "at", "user_id": "who", "item_id": "what", "quantity": "pieces", "unit_price": "price"}
ROW = {"event_at": AT, "user_id": "17850", "item_id": "mug", "quantity": 2.0, "unit_price": 2.5}
TYPED: Cells = {**LINE, "at": "timestamp"}


@dataclass(frozen=True)
class Case:
    """One kind of file.

    write : makes the files in a folder.
    settings : of the source, besides `kind`, which is `daily_files` where it is not stated.
    rows : the right values of some columns, in the order of the rows; None: it must be refused.
    refused : what a right refusal tells, each a part of the message.
    """

    name: str
    report: str
    write: Write
    settings: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...] | None = None
    refused: tuple[str, ...] = ()


def text(content: str, name: str = f"{DAY}.csv", encoding: str = "utf-8") -> Write:
    return lambda folder: (folder / name).write_bytes(content.encode(encoding))


def raw(content: bytes, name: str) -> Write:
    return lambda folder: (folder / name).write_bytes(content)


def parquet(table: pa.Table | Callable[[], pa.Table], **options: Any) -> Write:
    return lambda folder: pq.write_table(table() if callable(table) else table, folder / f"{DAY}.parquet", **options)


def line_table(**columns: Any) -> pa.Table:
    """The table of one line, with other columns in place of its own."""
    whole = {"at": [MOMENT], "who": ["17850"], "what": ["mug"], "pieces": [2.0], "price": [2.5], **columns}
    made = {
        name: column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column) for name, column in whole.items()
    }
    return pa.table(made)


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def avro(fields: list[dict[str, Any]], *records: dict[str, Any]) -> Write:
    def write(folder: Path) -> None:
        with (folder / f"{DAY}.avro").open("wb") as stream:
            fastavro.writer(stream, {"type": "record", "name": "line", "fields": fields}, list(records))

    return write


def into_sqlite(*statements: str) -> Write:
    def write(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "shop.db")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return write


def into_duckdb(*statements: str) -> Write:
    def write(folder: Path) -> None:
        with duckdb.connect(str(folder / "shop.duckdb")) as connection:
            for statement in statements:
                connection.execute(statement)

    return write


def lines(settings: Mapping[str, Any] | None = None, cells: Cells | None = None, **columns: Any) -> dict[str, Any]:
    """The settings of a source of lines."""
    return {"cells": {**LINE, **(cells or {})}, "columns": {**NAMES, **columns}, **(settings or {})}


def table_of(kind: str, **cells: Any) -> dict[str, Any]:
    return lines({"format": kind}, {"at": "timestamp", **cells})


def rows_with(cells: Cells, target: str, **settings: Any) -> dict[str, Any]:
    """The settings of a source of rows with a target."""
    return {"cells": cells, "columns": {"target": target}, **settings}


def body(*rows: str, header: str = "at,who,what,pieces,price") -> str:
    return "\n".join([header, *rows]) + "\n"


ONE = body(f"{AT},17850,mug,2,2.5")
FIELDS: list[dict[str, Any]] = [
    {"name": "at", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
    *({"name": name, "type": "string"} for name in ("who", "what")),
    *({"name": name, "type": "double"} for name in ("pieces", "price")),
]
RECORD = {"at": MOMENT, "who": "17850", "what": "mug", "pieces": 2.0, "price": 2.5}

TEXTS = (
    Case("csv", "RFC 4180", text(ONE), lines(), (ROW,)),
    Case("csv of Windows", "RFC 4180: CR LF", text(ONE.replace("\n", "\r\n")), lines(), (ROW,)),
    Case("csv with a byte order mark", "pandas#4793", text(ONE, encoding="utf-8-sig"), lines(), (ROW,)),
    Case(
        "csv of Excel in Germany",
        "sqlyog#582, asafdav/ng-csv#28",
        text("sep=;\r\nat;who;what;pieces;price\r\n05.01.2026 08:30;17850;mug;2;1.234,50\r\n"),
        lines({"delimiter": ";", "decimal": ",", "thousands": ".", "time_format": "dd.MM.yyyy HH:mm"}),
        ({**ROW, "unit_price": 1234.5},),
    ),
    Case(
        "unicode text of Excel",
        "Excel's format 'Unicode Text'",
        text(ONE.replace(",", "\t").replace("mug", "thé"), encoding="utf-16"),
        lines({"delimiter": "\t", "encoding": "utf-16"}),
        ({**ROW, "item_id": "thé"},),
    ),
    Case(
        "csv of Windows in Latin letters",
        "pandas#17821",
        text(ONE.replace("mug", "café œuf €"), encoding="windows-1252"),
        lines({"encoding": "windows-1252"}),
        ({**ROW, "item_id": "café œuf €"},),
    ),
    Case("csv in gzip", "UCI and Kaggle archives", raw(gzip.compress(ONE.encode()), f"{DAY}.csv.gz"), lines(), (ROW,)),
    Case("csv in bzip2", "Wikimedia dumps", raw(bz2.compress(ONE.encode()), f"{DAY}.csv.bz2"), lines(), (ROW,)),
    Case("csv in zip", "Kaggle archives", raw(zipped(data__csv=ONE.encode()), f"{DAY}.csv.zip"), lines(), (ROW,)),
    Case(
        "two files in zip",
        "pandas#16491",
        raw(zipped(a__csv=ONE.encode(), b__csv=ONE.encode()), f"{DAY}.csv.zip"),
        lines(),
        refused=("expected one file in the archive, got 2",),
    ),
    Case(
        "cut gzip",
        "pandas#13432",
        raw(gzip.compress(ONE.encode())[:-9], f"{DAY}.csv.gz"),
        lines(),
        refused=("not a complete .gz file", "deliver it again"),
    ),
    Case(
        "a quote that is not closed",
        "pandas#17333",
        text(body(f'{AT},17850,"mug,2,2.5')),
        lines(),
        refused=("not CSV", "a quote is not closed"),
    ),
    Case(
        "lines within a cell",
        "apache/spark: multiLine",
        text(body(f'{AT},17850,"blue\nmug, ""big""",2,2.5')),
        lines(),
        ({**ROW, "item_id": 'blue\nmug, "big"'},),
    ),
    Case(
        "another delimiter",
        "csv sniffers",
        text(ONE.replace(",", ";")),
        lines(),
        refused=("expected the delimiter ','", "got ';'"),
    ),
    Case(
        "a column without a name",
        "deephaven-core#1561, qri-io/qri#48",
        text(body(f"0,{AT},17850,mug,2,2.5", header=",at,who,what,pieces,price")),
        {**lines(), "cells": {"": "ignore", **LINE}},
        (ROW,),
    ),
    Case(
        "a column that is not declared",
        "schema drift",
        text(body(f"{AT},17850,mug,2,2.5,x", header="at,who,what,pieces,price,note")),
        lines(),
        refused=("unknown: 'note'", "add 'note' to cells"),
    ),
    Case(
        "several headers over time",
        "NYC taxi data, 2009 to 2016",
        lambda folder: (
            text(ONE)(folder),
            text(body("mug,17850,2026-01-04 08:30:00", header="what,who,at"), "2026-01-04.csv")(folder),
        ),
        lines({"headers": [list(LINE), ["what", "who", "at"]]}),
        ({**ROW, "event_at": "2026-01-04 08:30:00", "quantity": None, "unit_price": None}, ROW),
    ),
    Case(
        "ids with point zero",
        "CamDavidsonPilon/lifetimes#60",
        text(body(f"{AT},17850.0,mug,2,2.5", f"{AT},17850,mug,2,2.5", f"{AT},,mug,2,2.5")),
        lines(cells={"who": "long"}),
        (ROW, ROW, {**ROW, "user_id": None}),
    ),
    Case(
        "words for a missing user id",
        "pandas#25353",
        text(body(*(f"{AT},{who},mug,2,2.5" for who in ("NULL", "nan", "None", "\\N", "\u00a017850\u200b")))),
        lines(),
        (*({**ROW, "user_id": None},) * 4, ROW),
    ),
    Case(
        "decimal commas, stated",
        "singer-io/tap-bing-ads#9",
        text("at;who;what;pieces;price\n" + f"{AT};17850;mug;2;€ 1234,50\n"),
        lines({"delimiter": ";", "decimal": ","}, {"price": {"type": "double", "symbols": ["€"]}}),
        ({**ROW, "unit_price": 1234.5},),
    ),
    Case(
        "decimal commas, not stated",
        "singer-io/tap-bing-ads#9",
        text("at;who;what;pieces;price\n" + f"{AT};17850;mug;2;12,50\n" * 3),
        lines({"delimiter": ";"}),
        refused=("'price'", "3 of 3 full cells", "12,50"),
    ),
    Case(
        "percent",
        "asafdav/ng-csv#28",
        text(body(f"{AT},17850,mug,2,3.5 %")),
        lines(cells={"price": {"type": "double", "symbols": ["%"], "percent": True}}),
        ({**ROW, "unit_price": 0.035},),
    ),
    Case(
        "milliseconds and other words",
        "RetailRocket events",
        text(
            "timestamp,visitorid,event,itemid\n1767601800000,257597,addtocart,355908\n1767601800000,257597,transaction,355908\n"
        ),
        {
            "cells": {
                "timestamp": {"type": "timestamp", "unit": "ms"},
                "visitorid": "id",
                "event": {"type": "string", "words": {"addtocart": "cart", "transaction": "purchase"}},
                "itemid": "id",
            },
            "columns": {"event_at": "timestamp", "user_id": "visitorid", "event_type": "event", "item_id": "itemid"},
        },
        (
            {"event_at": AT, "user_id": "257597", "event_type": "cart", "item_id": "355908"},
            {"event_at": AT, "user_id": "257597", "event_type": "purchase", "item_id": "355908"},
        ),
    ),
    Case(
        "milliseconds, not stated",
        "RetailRocket events",
        text("timestamp,visitorid,itemid\n" + "1767601800000,257597,355908\n" * 3),
        {
            "cells": {"timestamp": "long", "visitorid": "id", "itemid": "id"},
            "columns": {"event_at": "timestamp", "user_id": "visitorid", "item_id": "itemid"},
        },
        refused=("'timestamp'", "3 of 3 full cells", "unit"),
    ),
    Case(
        "unknown words of event_type",
        "REES46 shop events",
        text("at,who,what,kind\n" + f"{AT},17850,mug,wishlist\n" * 3),
        {
            "cells": {"at": "string", "who": "id", "what": "id", "kind": "string"},
            "columns": {"event_at": "at", "user_id": "who", "item_id": "what", "event_type": "kind"},
        },
        refused=("'kind'", "wishlist"),
    ),
    Case(
        "a cart of a shop",
        "REES46 via Bumbledebee/Purchase-Prediction-Project",
        text(f"at,who,what,kind,session\n{AT},17850,mug,cart,s1\n{AT},17850,mug,view,s1\n"),
        {
            "cells": {"at": "string", "who": "id", "what": "id", "kind": "string", "session": "id"},
            "columns": {"event_at": "at", "user_id": "who", "item_id": "what", "event_type": "kind", "event_id": "session"},
        },
        ({"event_type": "cart", "event_id": "s1"}, {"event_type": "view", "event_id": "s1"}),
    ),
    Case(
        "receipts that begin anew",
        "opensourcepos#1678",
        lambda folder: [
            text(f"at,who,what,receipt\n{day} 08:30:00,,bread,1\n", f"{day}.csv")(folder) for day in ("2026-01-04", DAY)
        ],
        {
            "cells": {"at": "string", "who": "id", "what": "id", "receipt": "id"},
            "columns": {"event_at": "at", "user_id": "who", "item_id": "what", "event_id": "receipt"},
            "event_id_unique": "per_day",
        },
        ({"event_id": "2026-01-04 1", "item_id": "bread"}, {"event_id": f"{DAY} 1", "item_id": "bread"}),
    ),
    Case(
        "labels in several spellings",
        "yakew7/Fair-Code#510, mljar/mljar-supervised#655",
        text("age,said\n" + "".join(f"30,{said}\n" for said in ("Yes", "yes ", "YES", "No", "no"))),
        rows_with({"age": "double", "said": "string"}, "said", positive="Yes", negative=["no"]),
        tuple({"age": 30.0, "target": target} for target in (1, 1, 1, 0, 0)),
    ),
    Case(
        "a third label",
        "mljar/mljar-supervised#655",
        text("age,said\n" + "".join(f"30,{said}\n" for said in ("Yes", "No", "unknown", "unknown", "perhaps"))),
        rows_with({"age": "double", "said": "string"}, "said", positive="Yes", negative=["no"]),
        refused=("'said'", "unknown"),
    ),
    Case(
        "labels that come later",
        "NannyML#306, alteryx/evalml#2063",
        text("age,said\n30,1\n31,0\n32,\n"),
        rows_with({"age": "double", "said": "int"}, "said"),
        ({"age": 30.0, "target": 1}, {"age": 31.0, "target": 0}, {"age": 32.0, "target": None}),
    ),
    Case(
        "one time far away",
        "debezium#7382, psycopg#1251",
        text(body(*(f"{AT},17850,mug,2,2.5",) * 2, "9999-12-31 00:00:00,17850,mug,2,2.5")),
        lines(),
        (ROW, ROW, {**ROW, "event_at": None}),
    ),
    Case(
        "one very long id",
        "ray-project/ray#46298, numpy#24822",
        text(body(f"{AT},17850,mug,2,2.5", f"{AT},{'x' * 20_000},mug,2,2.5")),
        lines(),
        (ROW, {**ROW, "user_id": None}),
    ),
)

PATTERNS = tuple(
    Case(
        f"the pattern {pattern}", "SPARK-31892, lakebridge#1188", text(ONE), lines({"time_format": pattern}), refused=(message,)
    )
    for pattern, message in {
        "%Y-%m-%d %H:%M:%S": "Python's letters",
        "YYYY-MM-DD HH:mm:ss": "years are yyyy",
        "yyyy-MM-dd hh:mm:ss": "hours of a day are HH",
        "yyyy-mm-dd HH:MM:ss": "months are MM",
    }.items()
)

NAMED = (
    *(
        Case(
            f"a feature named {name}",
            "SPARK-58615, databricks/koalas#1262",
            text(f"{name},age,said\npro,30,1\n"),
            rows_with({name: "string", "age": "double", "said": "int"}, "said"),
            ({name: "pro", "age": 30.0, "target": 1},),
        )
        for name in ("place", "block", "part", "_hash", "emp.var.rate", "Größe {cm}", "Monthly Charges ($)")
    ),
    *(
        Case(
            f"names: {message}",
            report,
            text(f"{header}\n1,2,1\n"),
            rows_with(dict(zip(names, ("double", "double", "int"), strict=True)), names[2]),
            refused=(message,),
        )
        for header, names, message, report in (
            ("ID,id,y", ("ID", "id", "y"), "differ in capitals only", "databricks/spark-csv#368"),
            ("Target,age,y", ("Target", "age", "y"), "the pipeline uses the name target", "simoc/csvjdbc#34"),
            ('"screen 15""",age,y', ('screen 15"', "age", "y"), "a request cannot name", "lightgbm#6202, pycaret#3181"),
        )
    ),
)

OBJECT = {"at": AT, "who": 17850, "what": "mug", "pieces": 2, "price": 2.5}
JSON = (
    *(
        Case(
            f"json with the key {key}",
            "apache/spark#32053, databricks/koalas#1262",
            text(json.dumps({"at": AT, "who": "17850", "what": "mug", key: 4.5}) + "\n", f"{DAY}.jsonl"),
            {
                "format": "jsonl",
                "cells": {"at": "string", "who": "id", "what": "id", key: "double"},
                "columns": {"event_at": "at", "user_id": "who", "item_id": "what", "value": key},
            },
            ({"event_at": AT, "user_id": "17850", "item_id": "mug", "value": 4.5},),
        )
        for key in ("value", "cell", "row_id")
    ),
    Case(
        "an array of objects",
        "apache/spark: multiLine",
        text(json.dumps([OBJECT, OBJECT], indent=1), f"{DAY}.json"),
        lines({"format": "jsonl"}),
        (ROW, ROW),
    ),
    Case(
        "nested keys",
        "MongoDB and Segment exports",
        text(json.dumps({"at": AT, "user": {"id": 17850, "geo": {"city": "Bonn"}}, "sku": "mug"}) + "\n", f"{DAY}.jsonl"),
        {
            "format": "jsonl",
            "cells": {"at": "string", "user.id": "id", "user.geo.city": "string", "sku": "id"},
            "columns": {"event_at": "at", "user_id": "user.id", "item_id": "sku", "segment": "user.geo.city"},
        },
        ({"event_at": AT, "user_id": "17850", "item_id": "mug", "segment": "Bonn"},),
    ),
    Case(
        "an object where text is stated",
        "MongoDB exports",
        text(json.dumps({**OBJECT, "who": {"$oid": "5f"}}) + "\n", f"{DAY}.jsonl"),
        lines({"format": "jsonl"}),
        refused=("line 1", "'who' is an object", "who.$oid"),
    ),
    Case(
        "json in zip",
        "Kaggle archives",
        raw(zipped(a__jsonl=json.dumps(OBJECT).encode()), f"{DAY}.jsonl.zip"),
        lines({"format": "jsonl"}),
        (ROW,),
    ),
)

BINARY = (
    Case(
        "parquet, nanoseconds",
        "datazip-inc/olake#451",
        parquet(line_table(at=pa.array([MOMENT], pa.timestamp("ns")))),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, nanoseconds in UTC",
        "apache/spark#53221",
        parquet(line_table(at=pa.array([MOMENT.replace(tzinfo=UTC)], pa.timestamp("ns", "UTC")))),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, INT96 of Impala and Spark",
        "PARQUET-323",
        parquet(line_table(), use_deprecated_int96_timestamps=True),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, decimal", "datafusion-comet#2029", parquet(line_table(price=[Decimal("2.50")])), table_of("parquet"), (ROW,)
    ),
    Case(
        "parquet, decimal of Snowflake as an id",
        "Snowflake's NUMBER(38, 0)",
        parquet(line_table(who=pa.array([Decimal(17850)], pa.decimal128(38, 0)))),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, boolean as a number",
        "apache/spark: booleans",
        parquet(line_table(pieces=[True])),
        table_of("parquet"),
        ({**ROW, "quantity": 1.0},),
    ),
    Case(
        "parquet, ids of type double",
        "apache/gluten#7630, datafusion-comet#312",
        parquet(line_table(who=[12345607.0])),
        table_of("parquet"),
        ({**ROW, "user_id": "12345607"},),
    ),
    Case(
        "parquet, an index of pandas",
        "pandas: __index_level_0__",
        lambda folder: line_table().to_pandas().set_index(pd.Index([7])).to_parquet(folder / f"{DAY}.parquet"),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, nullable integers of pandas",
        "pandas Int64",
        parquet(lambda: pa.Table.from_pandas(line_table().to_pandas().assign(pieces=pd.array([2], dtype="Int64")))),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, categories",
        "pandas category",
        parquet(line_table(what=pa.array(["mug"]).dictionary_encode())),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, unsigned and small integers",
        "apache/spark: unsigned",
        parquet(line_table(pieces=pa.array([2], pa.uint8()), who=pa.array([17850], pa.uint32()))),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, longs as text",
        "BigQuery's INT64 in exports",
        parquet(line_table(pieces=["2"], price=["2.5"])),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet of Polars",
        "polars: string views, large lists",
        lambda folder: pl.DataFrame(line_table().to_pandas()).write_parquet(folder / f"{DAY}.parquet"),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet of DuckDB",
        "DuckDB's COPY",
        lambda folder: duckdb.sql(
            f"COPY (SELECT TIMESTAMP '{AT}' AS \"at\", 17850 AS who, 'mug' AS what, 2::UTINYINT AS pieces, 2.50 AS price) "
            f"TO '{folder}/{DAY}.parquet'"
        ),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, structs",
        "BigQuery and Spark exports",
        parquet(line_table(who=pa.array([{"id": 17850}]))),
        {
            **table_of("parquet", **{"who.id": "id"}),
            "cells": {**{name: kind for name, kind in TYPED.items() if name != "who"}, "who.id": "id"},
            "columns": {**NAMES, "user_id": "who.id"},
        },
        (ROW,),
    ),
    Case(
        "parquet, bytes without a kind",
        "PARQUET: Hive writes no UTF8",
        parquet(line_table(what=pa.array([b"mug"], pa.binary()))),
        table_of("parquet"),
        (ROW,),
    ),
    Case(
        "parquet, a time where a number is stated",
        "apache/spark#53221",
        parquet(line_table(price=[MOMENT])),
        table_of("parquet"),
        refused=("'price'", "timestamp[us]", "states double"),
    ),
    Case(
        "parquet, another number on another day",
        "pandas gaps",
        lambda folder: (
            parquet(line_table(pieces=[2]))(folder),
            pq.write_table(line_table(at=[MOMENT - timedelta(days=1)], pieces=[0.5]), folder / "2026-01-04.parquet"),
        ),
        table_of("parquet"),
        ({**ROW, "event_at": "2026-01-04 08:30:00", "quantity": 0.5}, ROW),
    ),
    Case(
        "parquet, damaged",
        "apache/arrow#31070",
        lambda folder: (folder / f"{DAY}.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1"),
        table_of("parquet"),
        refused=("cannot be read", "deliver it again"),
    ),
    Case("orc", "Hive exports", lambda folder: orc.write_table(line_table(), folder / f"{DAY}.orc"), table_of("orc"), (ROW,)),
    Case(
        "feather of pandas",
        "pandas: to_feather",
        lambda folder: pa.feather.write_feather(line_table(), folder / f"{DAY}.feather"),
        table_of("arrow"),
        (ROW,),
    ),
    Case("avro", "Kafka Connect", avro(FIELDS, RECORD), table_of("avro"), (ROW,)),
    Case(
        "avro, decimal and uuid",
        "Kafka Connect, Debezium",
        avro(
            [
                *FIELDS[:1],
                {"name": "who", "type": {"type": "string", "logicalType": "uuid"}},
                *FIELDS[2:4],
                {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
            ],
            {**RECORD, "who": UUID(int=1), "price": Decimal("2.50")},
        ),
        table_of("avro"),
        ({**ROW, "user_id": str(UUID(int=1))},),
    ),
    Case(
        "avro, a union",
        "AVRO-1803",
        avro([*FIELDS[:4], {"name": "price", "type": ["int", "string"]}], {**RECORD, "price": "x"}),
        table_of("avro"),
        refused=("'price'", "union", "states double"),
    ),
    Case(
        "workbook of Excel",
        "pandas: read_excel",
        lambda folder: (folder / f"{DAY}.xlsx").write_bytes(
            make_workbook([list(LINE), [MOMENT, 17850, "mug", 2, 2.5], [None] * 5])
        ),
        lines({"format": "xlsx"}),
        (ROW,),
    ),
    Case(
        "workbook, another sheet",
        "pandas: sheet_name",
        lambda folder: (folder / f"{DAY}.xlsx").write_bytes(
            make_workbook([list(LINE), [MOMENT, 17850, "mug", 2, 2.5]], "Data")
        ),
        lines({"format": "xlsx", "sheet": "Lines"}),
        refused=("no sheet 'Lines'", "Data"),
    ),
)

INSERTED = f"INSERT INTO lines VALUES ('{AT}', 17850, 'mug', 2, 2.5)"  # noqa: S608  a constant
LOCAL = {"kind": "table", "table": "lines", "order_by": ["who"]}
DATABASES = (
    Case(
        "sqlite",
        "types of their own in each cell",
        into_sqlite("CREATE TABLE lines (at, who, what, pieces, price)", INSERTED),
        lines({**LOCAL, "url": "sqlite:///{folder}/shop.db"}, {"at": "timestamp"}),
        (ROW,),
    ),
    Case(
        "duckdb",
        "harlequin, duckdb",
        into_duckdb(
            'CREATE TABLE lines ("at" TIMESTAMP, who HUGEINT, what VARCHAR, pieces UTINYINT, price DECIMAL(9, 2))',
            INSERTED,
        ),
        lines({**LOCAL, "url": "duckdb:///{folder}/shop.duckdb"}, {"at": "timestamp"}),
        (ROW,),
    ),
    Case(
        "duckdb, a list where text is stated",
        "arrow-adbc#4567",
        into_duckdb(
            'CREATE TABLE lines ("at" TIMESTAMP, who INT, what VARCHAR[], pieces INT, price INT)',
            INSERTED.replace("'mug'", "['mug']"),
        ),
        lines({**LOCAL, "url": "duckdb:///{folder}/shop.duckdb"}, {"at": "timestamp"}),
        refused=("'what'", "list<", "states id"),
    ),
    Case(
        "a database that no driver is kept for",
        "oracledb",
        lambda folder: None,
        lines({**LOCAL, "url": "oracle://shop@localhost/shop"}, {"at": "timestamp"}),
        refused=("oracle", "postgresql://"),
    ),
)

SIBLINGS = (
    Case(
        "csv with a delimiter at the end of each line",
        "pandas#21768",
        text(f"at,who,what,pieces,price,\n{AT},17850,mug,2,2.5,\n"),
        {**lines(), "cells": {**LINE, "": "ignore"}},
        (ROW,),
    ),
    Case(
        "csv with several columns without a name",
        "Excel: deleted columns",
        text(f",at,who,what,pieces,price,\n0,{AT},17850,mug,2,2.5,x\n"),
        {**lines(), "cells": {"": "ignore", **LINE}},
        (ROW,),
    ),
    Case(
        "csv with a column twice",
        "pandas#3468",
        text(f"at,who,what,pieces,price,price\n{AT},17850,mug,2,2.5,3\n"),
        lines(),
        refused=("repeated: price",),
    ),
    Case(
        "csv with a space in its header",
        "pandas: skipinitialspace",
        text(f"at,who,what,pieces, price\n{AT},17850,mug,2,2.5\n"),
        lines(),
        refused=("missing: price", "unknown: ' price'"),
    ),
    Case(
        "ids with leading zeros",
        "pandas: dtype of ids",
        text(body(f"{AT},00017850,mug,2,2.5")),
        lines(),
        ({**ROW, "user_id": "00017850"},),
    ),
    Case(
        "numbers of Switzerland",
        "CLDR: de-CH",
        text(body(f"{AT},17850,mug,2,CHF 1'234.50")),
        lines(cells={"price": {"type": "double", "thousands": "'", "symbols": ["CHF"]}}),
        ({**ROW, "unit_price": 1234.5},),
    ),
    Case(
        "errors and booleans of Excel",
        "Excel: #N/A, TRUE",
        text("age,is_new,said\n#N/A,TRUE,1\n31,FALSE,0\n"),
        rows_with({"age": "double", "is_new": "boolean", "said": "int"}, "said"),
        ({"age": None, "is_new": 1.0, "target": 1}, {"age": 31.0, "is_new": 0.0, "target": 0}),
    ),
    Case(
        "integers beyond doubles",
        "nodejs: Number.MAX_SAFE_INTEGER",
        text(json.dumps({**OBJECT, "who": 9007199254740993}) + "\r\n", f"{DAY}.ndjson"),
        lines({"format": "jsonl"}),
        ({**ROW, "user_id": "9007199254740993"},),
    ),
    Case(
        "lists in json",
        "MongoDB and MovieLens tags",
        text(json.dumps({"tags": ["a", "b"], "age": 30, "said": 1}) + "\n", f"{DAY}.jsonl"),
        rows_with({"tags": "list", "age": "double", "said": "int"}, "said", format="jsonl"),
        ({"tags": "a|b", "age": 30.0, "target": 1},),
    ),
    Case(
        "lists in parquet",
        "Spark and pandas arrays",
        parquet(pa.table({"tags": [["a", "b"], None], "age": [30.0, 31.0], "said": [1, 0]})),
        rows_with({"tags": "list", "age": "double", "said": "int"}, "said", format="parquet"),
        ({"tags": "a|b", "target": 1}, {"tags": None, "target": 0}),
    ),
    Case(
        "parquet, times with an offset on some days only",
        "pandas: tz_localize",
        lambda folder: (
            parquet(line_table())(folder),
            pq.write_table(line_table(at=pa.array([MOMENT], pa.timestamp("us", "UTC"))), folder / "2026-01-04.parquet"),
        ),
        table_of("parquet"),
        refused=("'at'", "timestamp[us] in 2026-01-05.parquet", "timestamp[us, tz=UTC] in 2026-01-04.parquet"),
    ),
    Case(
        "parquet, bytes that are no text",
        "PARQUET: hashes",
        parquet(line_table(what=pa.array([b"\xff\xfe"], pa.binary()))),
        table_of("parquet"),
        refused=("'what'", "no UTF-8", "state ignore"),
    ),
    Case(
        "one file of many days",
        "Kaggle and UCI archives",
        text(body("2026-02-09 10:00:00,17850,pen,1,1", f"{AT},17850,mug,2,2.5"), "export.csv"),
        lines({"kind": "files"}),
        ({**ROW, "source_file": f"export.csv@{DAY}"},),
    ),
)

CASES = (*TEXTS, *PATTERNS, *NAMED, *JSON, *BINARY, *DATABASES, *SIBLINGS)
