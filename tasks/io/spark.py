"""Seam: one Spark session builder for local, cluster and Spark Connect. No other module builds a session."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.settings import get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

T = TypeVar("T")

# What makes results the same on every machine and run, wherever the session lives. The Connect server is started with
# these too (see `server_arguments`).
SESSION_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.ansi.enabled": "false",  # a cell that does not parse becomes null and goes to quarantine, with its row
}
SERVER_CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "WARN",
    "spark.driver.extraJavaOptions": "-Xss8m",  # ALS' long lineage overflowed the default stack of a cold JVM
}


def get_spark(application: str = "titleholder") -> SparkSession:
    """The Spark session of this process: `spark_remote` if set, else one of its own on `spark_master`, always in UTC."""
    from pyspark.sql import SparkSession

    settings = get_settings()
    # Workers must run the interpreter that has this project's packages, not whichever `python3` comes first.
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


def make_estimator(kind: Callable[..., T], **params: Any) -> T:
    """An Estimator of pyspark.ml. It lives in the session that there is when it is made, and without one it cannot be."""
    get_spark()
    return kind(**params)
