"""Samples with known distributions, and for each kind of check one that it must object to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tasks.columns import EVENT_AT, ITEM_ID, PREDICTION, QUANTITY, ROW_ID, SEGMENT, UNIT_PRICE
from tasks.contracts.base import Window
from tasks.stages.monitoring.checks import Evidence
from tasks.stages.monitoring.evidence import ComparedRows, gather

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

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
class World:
    """Four weeks of reference, and the week that is looked at, each with its scores; the week before, and figures."""

    reference: pd.DataFrame
    current: pd.DataFrame
    previous: pd.DataFrame | None = None
    reference_scores: pd.DataFrame = field(default_factory=lambda: make_scores(0, 1))
    scores: pd.DataFrame = field(default_factory=lambda: make_scores(0, 2))
    figures: Mapping[str, float] = field(default_factory=dict)

    def changed(self, **parts: Any) -> World:
        return World(**{**self.__dict__, **parts})

    def gather(self, checks: Any, spark: SparkSession | None = None, seed: int = 7, sample_rows: int = 20_000) -> Evidence:
        """In memory, or by Spark."""

        def frame(rows: pd.DataFrame) -> Any:
            return rows if spark is None else to_spark(spark, rows)

        previous = None if self.previous is None else frame(self.previous)
        rows = ComparedRows(
            WEEK,
            {"rows": frame(self.reference), "predictions": frame(self.reference_scores)},
            {"rows": frame(self.current), "predictions": frame(self.scores)},
            previous,
            WEEK.start,
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


def make_world(rows: int, seed: int = 2) -> World:
    week: dict[str, Any] = {"start": WEEK.start, "days": 7}
    return World(
        reference=make_rows(rows, 1),
        current=make_rows(rows // 4, seed, **week),
        previous=make_rows(rows // 4, 5, start=WEEK.start - timedelta(days=7), days=7),
        reference_scores=make_scores(rows, 1),
        scores=make_scores(rows // 4, seed),
        figures={"cold_share": 0.1},
    )


def again(rows: pd.DataFrame, days: int = 0) -> pd.DataFrame:
    """The same rows under other ids, some days later."""
    later = rows.assign(**{EVENT_AT: rows[EVENT_AT] + pd.Timedelta(days=days)})
    return later.assign(**{ROW_ID: "again-" + rows[ROW_ID]})


@dataclass(frozen=True)
class Twin:
    """What a kind of check is configured with, and how a calm world becomes one that it objects to."""

    config: dict[str, Any]
    broken: Callable[[World], World]


def _drifted(world: World) -> World:
    rows = make_rows(len(world.current), 3, prices=2.0, tastes=2_000, export=0.5, start=WEEK.start, days=7)
    return world.changed(current=rows.assign(**{QUANTITY: rows[QUANTITY].where(rows.index % 2 == 0, 24.0)}))


def _assigned(**columns: Callable[[pd.DataFrame], Any]) -> Callable[[World], World]:
    return lambda world: world.changed(current=world.current.assign(**columns))


BROKEN_TWINS: dict[str, Twin] = {
    "column_drift": Twin({"columns": list(COLUMNS), "threshold": 0.2}, _drifted),
    "prediction_drift": Twin(
        {"threshold": 0.2}, lambda world: world.changed(scores=make_scores(len(world.scores), 3, shift=1.0))
    ),
    "label_drift": Twin({"column": QUANTITY, "threshold": 0.2}, _drifted),
    "unit_change": Twin({"columns": [UNIT_PRICE]}, _assigned(**{UNIT_PRICE: lambda rows: rows[UNIT_PRICE] * 2.54})),
    "missing_values": Twin(
        {"columns": [UNIT_PRICE, SEGMENT]},
        _assigned(
            **{
                UNIT_PRICE: lambda rows: rows[UNIT_PRICE].where(rows.index % 2 == 0),
                SEGMENT: lambda rows: rows[SEGMENT].where(rows.index % 2 == 0),
            }
        ),
    ),
    "missing_days": Twin(
        {}, lambda world: world.changed(current=world.current[world.current[EVENT_AT].dt.weekday != 2].reset_index(drop=True))
    ),
    "volume": Twin({}, lambda world: world.changed(current=world.current[: len(world.current) // 8])),
    "doubled_rows": Twin(
        {}, lambda world: world.changed(current=pd.concat([world.current, again(world.current[::2])], ignore_index=True))
    ),
    "frozen_rows": Twin({}, lambda world: world.changed(current=again(world.previous, 7))),  # type: ignore[arg-type]
    "bound": Twin({"figure": "cold_share", "at_most": 0.3}, lambda world: world.changed(figures={"cold_share": 0.4})),
}
METHODS = ("psi", "jensenshannon")
DISTANCES = ("column_drift", "prediction_drift", "label_drift")
