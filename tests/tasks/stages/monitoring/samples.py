"""Samples with known distributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tasks.columns import EVENT_AT, ITEM_ID, PREDICTION, QUANTITY, ROW_ID, SEGMENT, SOURCE_FILE, UNIT_PRICE
from tasks.contracts.base import Window
from tasks.stages.monitoring.checks.base import Evidence
from tasks.stages.monitoring.evidence import ComparedRows, gather

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

METHODS = ("psi", "jensenshannon")
DISTANCES = ("column_drift", "prediction_drift", "label_drift")
COLUMNS = (UNIT_PRICE, QUANTITY, ITEM_ID, SEGMENT)
ITEMS = 4_000  # a long tail: most of them occur once or never in a small sample
MONDAY = date(2011, 1, 3)
MICROS: Literal["datetime64[us, UTC]"] = "datetime64[us, UTC]"  # Spark reads no nanoseconds
WEEK = Window(start=date(2011, 1, 31), end=date(2011, 2, 7))


def make_rows(
    rows: int, seed: int, *, prices: float = 1.0, tastes: int = 0, export: float = 0.1, start: date = MONDAY, days: int = 28
) -> pd.DataFrame:
    """Invoice lines: log-normal prices times `prices`, Zipf items whose order is turned by `tastes` places."""
    random = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, ITEMS + 1) ** 0.8
    places = random.choice(ITEMS, rows, p=popularity / popularity.sum())
    quantity = random.choice([1.0, 2.0, 6.0, 12.0, -1.0], rows, p=[0.4, 0.2, 0.2, 0.15, 0.05])
    quantity[random.random(rows) < 0.001] = 80_995.0  # one absurd order must not hide the rest
    return pd.DataFrame(
        {
            ROW_ID: [f"file-{seed}.csv:{number}" for number in range(rows)],
            SOURCE_FILE: f"file-{seed}.csv",
            EVENT_AT: pd.Series(pd.Timestamp(start, tz="UTC") + pd.to_timedelta(np.arange(rows) % days, unit="D")).astype(
                MICROS
            ),
            UNIT_PRICE: np.round(random.lognormal(0.5, 1.0, rows), 2) * prices,
            QUANTITY: quantity,
            ITEM_ID: [f"{20_000 + (place + tastes) % ITEMS}" for place in places],
            SEGMENT: random.choice(
                np.array(["here", "abroad", None], dtype=object), rows, p=[0.85 - export, export + 0.1, 0.05]
            ),
        }
    )


def make_scores(rows: int, seed: int, *, shift: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-random.normal(-2 + shift, 1, rows)))
    return pd.DataFrame({ROW_ID: [f"{seed}/{number}" for number in range(rows)], PREDICTION: scores})


@dataclass(frozen=True)
class Windows:
    """Four weeks of reference and the week that is compared, each with its scores; the week before, and figures."""

    reference: pd.DataFrame
    current: pd.DataFrame
    previous: pd.DataFrame | None = None
    reference_scores: pd.DataFrame = field(default_factory=lambda: make_scores(0, 1))
    scores: pd.DataFrame = field(default_factory=lambda: make_scores(0, 2))
    figures: Mapping[str, float] = field(default_factory=dict)

    def changed(self, **parts: Any) -> Windows:
        return Windows(**{**self.__dict__, **parts})

    def gather(self, checks: Any, spark: SparkSession | None = None, seed: int = 7, sample_rows: int = 20_000) -> Evidence:
        """In memory, or by Spark."""

        def frame(rows: pd.DataFrame) -> Any:
            return rows if spark is None else to_spark(spark, rows)

        previous = None if self.previous is None else frame(self.previous)
        rows = ComparedRows(
            WEEK,
            {"rows": frame(self.reference), "predictions": frame(self.reference_scores)},
            {"rows": frame(self.current), "predictions": frame(self.scores)},
            previous=previous,
            known_until=WEEK.start,
        )
        return gather(checks, rows, figures=self.figures, seed=seed, sample_rows=sample_rows)


def to_spark(spark: SparkSession, rows: pd.DataFrame) -> DataFrame:
    """A frame whose empty or missing text stays text."""
    from pyspark.sql.types import DoubleType, StringType, StructField, StructType, TimestampType

    kinds = {"f": DoubleType(), "i": DoubleType(), "M": TimestampType(), "O": StringType(), "b": StringType()}
    schema = StructType([StructField(name, kinds[rows[name].dtype.kind]) for name in rows])
    casts = {name: object if rows[name].dtype.kind in "bO" else "float64" for name in rows if rows[name].dtype.kind != "M"}
    ready = rows.astype(casts)
    for name in rows:
        if rows[name].dtype.kind in "bO":
            ready[name] = [None if pd.isna(value) else str(value) for value in rows[name]]
    return spark.createDataFrame(ready, schema)


def make_windows(rows: int, seed: int = 2) -> Windows:
    week: dict[str, Any] = {"start": WEEK.start, "days": 7}
    return Windows(
        reference=make_rows(rows, 1),
        current=make_rows(rows // 4, seed, **week),
        previous=make_rows(rows // 4, 5, start=WEEK.start - timedelta(days=7), days=7),
        reference_scores=make_scores(rows, 1),
        scores=make_scores(rows // 4, seed),
        figures={"cold_share": 0.1},
    )


def repeat_rows(rows: pd.DataFrame, days: int = 0) -> pd.DataFrame:
    """The same rows under other ids, some days later."""
    later = rows.assign(**{EVENT_AT: rows[EVENT_AT] + pd.Timedelta(days=days)})
    return later.assign(**{ROW_ID: "again-" + rows[ROW_ID]})


def move_everything(calm: Windows) -> Windows:
    """Other prices, items, segments and quantities in the window."""
    rows = make_rows(len(calm.current), 3, prices=2.0, tastes=2_000, export=0.5, start=WEEK.start, days=7)
    return calm.changed(current=rows.assign(**{QUANTITY: rows[QUANTITY].where(rows.index % 2 == 0, 24.0)}))
