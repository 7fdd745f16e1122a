"""The session for few rows and for many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from pyspark.sql import SparkSession

from tasks.contracts.base import TaskKind
from tasks.io import spark as spark_module
from tasks.io.spark import FEW_ROWS, FEW_ROWS_CONF, spark_for
from tasks.io.storage import Storage
from tasks.stages.features import FeatureRequest, FeatureSpec, build_features
from tests.tasks.stages.features.conftest import USE_CASE, Publish, row

COMPILED = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
}


@pytest.fixture
def compiling(spark: SparkSession) -> Iterator[SparkSession]:
    """The session as it is outside the tests, which interpret all plans."""
    before = {name: spark.conf.get(name) for name in COMPILED}
    for name, value in COMPILED.items():
        spark.conf.set(name, value)
    yield spark
    for name, former in before.items():
        spark.conf.set(name, str(former))


def read_conf(session: SparkSession) -> dict[str, str | None]:
    return {name: session.conf.get(name) for name in FEW_ROWS_CONF}


def test_few_rows_are_interpreted_until_the_body_ends(compiling: SparkSession) -> None:
    with spark_for(FEW_ROWS) as session:
        assert read_conf(session) == FEW_ROWS_CONF
    assert read_conf(compiling) == COMPILED
    with spark_for(FEW_ROWS + 1) as session:
        assert read_conf(session) == COMPILED
    with pytest.raises(RuntimeError, match="in the body"), spark_for(1):
        raise RuntimeError("in the body")
    assert read_conf(compiling) == COMPILED


def test_both_modes_build_the_same_features(
    compiling: SparkSession, publish: Publish, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(f"u{n % 5}", f"i{n % 7}", f"2011-02-{1 + n % 27:02}T10:00", f"e{n % 11}") for n in range(60)]
    history = [publish(rows)]
    made = []
    for few, code in ((FEW_ROWS, "interpreted"), (0, "compiled")):
        monkeypatch.setattr(spark_module, "FEW_ROWS", few)
        monkeypatch.setattr("tasks.stages.features.digest_modules", lambda _, code=code: code)  # so that it is built again
        request = FeatureRequest(USE_CASE, TaskKind.PROPENSITY, FeatureSpec(lookback_days=(7,)), history, date(2011, 3, 1))
        made.append(build_features(request, storage))
    assert made[0].version != made[1].version and made[0].digest == made[1].digest
