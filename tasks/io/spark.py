"""Adapter: one Spark session builder for local, cluster and Spark Connect. No other module builds a session."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.settings import get_settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")

# These make results the same on every machine and run. The Connect server is started with them, too.
SESSION_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.legacy.javaCharsets": "true",  # without it Spark refuses windows-1252, the encoding of most old exports
    "spark.sql.ansi.enabled": "false",  # a cell that does not parse becomes null, and its row goes to quarantine
}
SERVER_CONF = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",  # bars in the log of a task
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "WARN",
    "spark.driver.extraJavaOptions": "-Xss8m",  # ALS' long lineage overflowed the default stack of a cold JVM
}

FEW_ROWS = 200_000
# To compile a plan takes longer than to interpret it where rows are few. Warm features of 30,000 rows take 5.2 s compiled and
# 4.4 s interpreted, of 300,000 rows as long in both ways, of 1.5 million rows 24 s and 32 s (docs/adr/0053).
FEW_ROWS_CONF = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}


def get_spark(application: str = "titleholder") -> SparkSession:
    """The Spark session of this process, in UTC: on `spark_remote` if set, else a local one on `spark_master`."""
    from pyspark.sql import SparkSession

    settings = get_settings()
    # Workers must run the interpreter that has this project's packages, not the first `python3` of the path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(application)
    if settings.spark_remote:
        builder = builder.remote(settings.spark_remote)
    else:
        builder = builder.master(settings.spark_master).config("spark.driver.memory", settings.spark_driver_memory)
        for key, value in SERVER_CONF.items():
            builder = builder.config(key, value)
    for key, value in SESSION_CONF.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


@contextmanager
def spark_for(rows: int) -> Iterator[SparkSession]:
    """The session of this process, which interprets plans instead of compiling them where `rows` are few."""
    session = get_spark()
    changed = {name: session.conf.get(name) for name in FEW_ROWS_CONF} if rows <= FEW_ROWS else {}
    try:
        for name in changed:
            session.conf.set(name, FEW_ROWS_CONF[name])
        yield session
    finally:
        for name, value in changed.items():
            session.conf.set(name, str(value))


@contextmanager
def caching() -> Iterator[Callable[[DataFrame], DataFrame]]:
    """A function that caches a frame until the body ends."""
    kept: list[DataFrame] = []

    def keep(frame: DataFrame) -> DataFrame:
        kept.append(frame.cache())
        return kept[-1]

    try:
        yield keep
    finally:
        for frame in reversed(kept):
            frame.unpersist()


def make_estimator(kind: Callable[..., T], **params: Any) -> T:
    """An Estimator of pyspark.ml. Its constructor needs a running session."""
    get_spark()
    return kind(**params)
