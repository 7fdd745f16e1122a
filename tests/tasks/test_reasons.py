"""Errors of other programs become ours, with what is wrong, where, and a remedy that fits."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from tasks.errors import ConfigurationError, ModelError, ServiceUnavailable, SourceError, TitleholderError
from tasks.reasons import explain_error, explain_text, translated

STACK = "\n\tat org.apache.spark.sql.errors.QueryExecutionErrors$.cannotReadFilesError(QueryExecutionErrors.scala:920)"
SPARK = "An error occurred while calling o873.parquet.\n: org.apache.spark.SparkException: "
TEXTS = {
    # what another program wrote -> what is told, the remedy, and the kind
    f"{SPARK}[FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH] Encountered error while reading file file:///d/2026-01-05.parquet"
    ". Data type mismatches when reading Parquet column [price]. Expected Spark type double, actual Parquet type BINARY. "
    f"SQLSTATE: KD001{STACK}": (
        "2026-01-05.parquet: column price is of Parquet's type BINARY, and Spark reads it as double",
        "state the type",
        SourceError,
    ),
    f"{SPARK}[FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:///d/cut.parquet.  SQLSTATE: KD001{STACK}"
    "\nCaused by: java.lang.RuntimeException: file:/d/cut.parquet is not a Parquet file. Expected magic number": (
        "cut.parquet could not be read by Spark: file:/d/cut.parquet is not a Parquet file",
        "it is damaged",
        SourceError,
    ),
    f"{SPARK}Job aborted{STACK}\nCaused by: java.io.IOException: No space left on device": (
        "no space is left on the disk",
        "free some space",
        ServiceUnavailable,
    ),
    "java.lang.OutOfMemoryError: Java heap space": ("not enough memory", "TITLEHOLDER_SPARK_DRIVER_MEMORY", ConfigurationError),
    "The experiment 1 must be in the 'active' state. Current state is deleted.": (
        "MLflow's experiment 1 was deleted",
        "`titleholder reconcile`",
        ModelError,
    ),
    "Model Version (name=m, version=1) not found": ("MLflow does not have it any more", "`titleholder reconcile`", ModelError),
    'FATAL:  password authentication failed for user "shop"': ("refused the user or the password", "PGPASSWORD", SourceError),
    "ERROR:  permission denied for table lines": ("the user may not read lines", "grant SELECT", SourceError),
    "(1146, \"Table 'shop.other' doesn't exist\")": ('"shop.other" does not exist', "check source.table", SourceError),
    "(1142, \"SELECT command denied to user 'a'@'b' for table `shop`.`x`\")": ("may not read", "grant SELECT", SourceError),
    "Some words that nobody knows": ("Some words that nobody knows", "", TitleholderError),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_other_programs_are_explained(text: str) -> None:
    what, remedy, kind = TEXTS[text]
    reason = explain_text(text)
    assert what in reason.what and remedy in reason.remedy and reason.kind is kind
    assert "An error occurred while calling" not in str(reason) and "\tat " not in str(reason)
    assert "room on the disk" not in str(reason)


def test_errors_of_spark_name_column_type_and_file(tmp_path: Path, spark: SparkSession) -> None:
    path = tmp_path / "2026-01-05.parquet"
    pq.write_table(pa.table({"price": ["a"]}), path)
    with pytest.raises(SourceError) as caught, translated("the rows", kind=SourceError):
        spark.read.schema("price double").parquet(str(path)).collect()
    assert "the rows: 2026-01-05.parquet: column price is of Parquet's type BINARY" in str(caught.value)
    assert caught.value.__cause__ is not None and "PARQUET_COLUMN" in str(caught.value.__cause__), "the original is behind it"

    frame = spark.createDataFrame([("2026",)], "t string")
    with (
        pytest.raises(ConfigurationError, match=r"'YYYY' is none that Spark reads; write source\.time_format"),
        translated("read"),
    ):
        frame.select(F.try_to_timestamp("t", F.lit("YYYY"))).collect()
    with pytest.raises(ConfigurationError, match="there is no column nope, the rows have `t`"), translated("read"):
        frame.select("nope")
    with pytest.raises(SourceError, match="two columns have the name a, or differ in capitals only"), translated("write"):
        spark.createDataFrame([(1, 2)], "a int, A int").write.parquet(str(tmp_path / "out"))

    def refuse(batches: Any) -> Any:
        raise ValueError("2026-01-05.parquet: column 'x' holds bytes that are no UTF-8")

    with pytest.raises(SourceError, match=r"read: 2026-01-05\.parquet: column 'x' holds"), translated("read", kind=SourceError):
        frame.mapInArrow(refuse, "t string").collect()


def test_only_errors_of_other_programs_are_translated() -> None:
    for error in (KeyError("x"), ValueError("x"), SourceError("x"), FileNotFoundError("x")):
        with pytest.raises(type(error)), translated("here"):
            raise error
    with (
        pytest.raises(SourceError, match=r'here: column "x" does not exist; name the columns .*\. Nothing was published'),
        translated("here", after="Nothing was published"),
        contextlib.closing(sqlite3.connect(":memory:")) as connection,
    ):
        connection.execute("SELECT x")
    with pytest.raises(ServiceUnavailable, match="no space is left on the disk"), translated("here"):
        raise OSError(28, "No space left on device")


def test_the_deepest_cause_is_told() -> None:
    try:
        try:
            raise pa.ArrowInvalid("the inner reason")
        except pa.ArrowInvalid as inner:
            raise pa.ArrowInvalid("An error occurred while calling o1.x\nfirst\nCaused by: a.b.IOException: second") from inner
    except pa.ArrowInvalid as error:
        assert explain_error(error).what == "second"
