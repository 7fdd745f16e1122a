"""Adapter: one Spark session builder for local, cluster and Spark Connect. No other module builds a session."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.settings import get_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

T = TypeVar("T")

# These make results the same on every machine and run. The Connect server is started with them, too.
SESSION_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
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


def make_estimator(kind: Callable[..., T], **params: Any) -> T:
    """An Estimator of pyspark.ml. Its constructor needs a running session."""
    get_spark()
    return kind(**params)
