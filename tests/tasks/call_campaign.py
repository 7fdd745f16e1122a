"""People who were called, and whether they agreed: numbers, names, steps and words, with known odds."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.models.base import ColumnKinds

EDUCATION = ("basic", "high school", "college", "university")
JOBS = ("clerk", "retired", "student", "worker")
CALLERS_KINDS = ColumnKinds(ordinal={"education": EDUCATION}, text=("notes",))
FEATURES = ("age", "job", "education", "notes")


def callers(rows: int, seed: int) -> pd.DataFrame:
    """row_id, target and the features; a tenth of each column is missing."""
    generator = np.random.default_rng(seed)
    words = np.array(["interested", "busy", "call again", "asked for the price", ""])
    table = pd.DataFrame(
        {
            c.ROW_ID: [f"f:{place:05}" for place in range(rows)],
            c.TARGET: 0,
            "age": generator.uniform(18, 80, rows).round(2),
            "job": np.array(JOBS, dtype=object)[generator.integers(0, len(JOBS), rows)],
            "education": np.array(EDUCATION, dtype=object)[generator.integers(0, len(EDUCATION), rows)],
            "notes": [" ".join(words[generator.permutation(len(words))[:2]]).strip() for _ in range(rows)],
        }
    )
    for name in FEATURES:
        table[name] = table[name].where(generator.random(rows) >= 0.1, None if name != "age" else np.nan)
    table[c.TARGET] = (generator.random(rows) < 1 / (1 + np.exp(-log_odds(table)))).astype("int64")
    return table


def log_odds(table: pd.DataFrame) -> Floats:
    """The log odds of agreement."""
    step = table["education"].map({name: place for place, name in enumerate(EDUCATION)}).astype(float).fillna(1.5)
    odds = 1.0 * (step - 1.5) + 0.02 * (table["age"].astype(float).fillna(48.0) - 48.0)
    odds += 1.5 * (table["job"] == "student") - 1.5 * (table["job"] == "retired")
    return np.asarray(odds + 2.0 * table["notes"].fillna("").str.contains("interested") - 1.0, dtype=np.float64)


def write_days(table: pd.DataFrame, folder: Path, first: date, days: int) -> None:
    """A file a day, as a call centre would deliver it; `seconds` is known only when the call is over, and foretells all."""
    folder.mkdir(parents=True)
    for day, part in enumerate(np.array_split(np.arange(len(table)), days)):
        with (folder / f"{first + timedelta(days=day)}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream, delimiter=";")
            writer.writerow([*FEATURES, "seconds", "said"])
            for row in table.iloc[part].to_dict("records"):
                cells = ["" if row[name] is None or row[name] != row[name] else row[name] for name in FEATURES]
                writer.writerow([*cells, 10 + 500 * row[c.TARGET], "yes" if row[c.TARGET] else "no"])
