"""The evidence of a window and its reference, counted by Spark, or in memory where there are few rows.

Only two things come from samples: where numbers are cut, because any sensible cut will do, and the quantiles by which a
change of unit is detected. A sample is the rows with the smallest hash of their id, so it is the same on every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.stages.monitoring import in_memory, in_spark
from tasks.stages.monitoring.checks.base import Counts, DriftCheck, Evidence

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 20_000  # of each side; what is read from samples is stable from far fewer on


@dataclass(frozen=True)
class ComparedRows:
    """What a window and its reference hold.

    reference, current : table -> rows, as frames of Spark or of pandas, with `row_id` and the columns that the checks name.
        `rows` has `event_at`.
    previous : the rows of the window before this one; None where there is none.
    known_until : the end of that window.
    """

    window: Window
    reference: Mapping[str, Any]
    current: Mapping[str, Any]
    previous: Any = None
    known_until: date | None = None


def gather(
    checks: Sequence[DriftCheck],
    rows: ComparedRows,
    *,
    figures: Mapping[str, float] | None = None,
    notes: Mapping[str, str] | None = None,
    seed: int = 0,
    sample_rows: int = SAMPLE_ROWS,
) -> Evidence:
    """Count and sample what the checks need, and no more.

    Parameters
    ----------
    figures : name -> value of what was measured without a reference.
    notes : figure -> why it is not measured.
    seed : picks the samples, by a hash of the row id.
    sample_rows : rows of each side in a sample.
    """
    reference, current = rows.reference, rows.current
    by = engine_of(current[c.ROWS])
    counts: dict[tuple[str, str], Counts] = {}
    samples: dict[tuple[str, str], tuple[pd.Series, pd.Series]] = {}
    wanted = sorted({one for check in checks for one in check.wanted})
    for table in dict.fromkeys(table for table, _ in wanted):
        columns = [column for of, column in wanted if of == table]
        sides = reference[table], current[table]
        before, now = (by.take_sample(side, columns, seed, sample_rows) for side in sides)
        samples |= {(table, column): (before[column], now[column]) for column in columns}
        counted = by.count_bins(*sides, before, columns)
        counts |= {(table, column): counted[column] for column in columns}
    facts: dict[str, Any] = {}
    if any(check.wants_facts for check in checks):
        both = reference[c.ROWS], current[c.ROWS]
        facts = {
            "days": tuple(by.count_days(side) for side in both),
            "doubled": tuple(by.share_doubled(side) for side in both),
            "repeated": by.share_repeated(rows.previous, both[1]) if rows.previous is not None else (0, 0.0),
        }
    return Evidence(
        rows.window,
        counts,
        samples,
        known_until=rows.known_until,
        figures=dict(figures or {}),
        notes=dict(notes or {}),
        **facts,
    )


def engine_of(rows: Any) -> ModuleType:
    """What counts rows of this kind."""
    import pandas as pd

    return in_memory if isinstance(rows, pd.DataFrame) else in_spark
