"""The evidence of a window and its reference, counted by Spark, or in memory where there are few rows.

Three things come from samples: where numbers are cut, because any sensible cut will do, how units differ (see resampling.py),
and the quantiles by which a change of scale is detected. A sample is the units with the smallest hash, the same on every run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import ModuleType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import NO_CALENDAR, UTC_ZONE, Calendar
from tasks.stages.monitoring import in_memory, in_spark
from tasks.stages.monitoring.checks.base import OWN_OF, ROWS_OF, UNIT, Counts, DriftCheck, Evidence
from tasks.stages.monitoring.resampling import Draws, prepare_draws

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 20_000  # of each side; what is read from samples is stable from far fewer on


@dataclass(frozen=True)
class ComparedRows:
    """What a window and its reference hold.

    reference, current : table -> rows, as frames of Spark or of pandas, with `row_id` and the columns that the checks name.
        `rows` has `event_at`.
    span : the days that `current` holds; None: those of the window.
    own : the rows of the run's window alone, in which faults are looked for; None: they are those of `current`.
    before : rows with `event_at` of the days before the window, which say how many are usual; None: those of `reference`.
    previous : the rows of the window before this one; None where there is none.
    known_until : the end of that window.
    calendar, zone : which days are closed, and where days begin.
    """

    window: Window
    reference: Mapping[str, Any]
    current: Mapping[str, Any]
    span: Window | None = None
    own: Any = None
    before: Any = None
    previous: Any = None
    known_until: date | None = None
    calendar: Calendar = NO_CALENDAR
    zone: ZoneInfo = UTC_ZONE


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
    own = rows.current[c.ROWS] if rows.own is None else rows.own
    reference = {**rows.reference, OWN_OF: rows.reference[c.ROWS]}
    current = {**rows.current, OWN_OF: own}
    by = engine_of(own)
    counts: dict[tuple[str, str], Counts] = {}
    samples: dict[tuple[str, str], tuple[pd.Series, pd.Series]] = {}
    draws: dict[tuple[str, str], Draws] = {}
    wanted = sorted({one for check in checks for one in check.wanted})
    drawn_for = {one for check in checks if check.wants_draws for one in check.wanted}
    span = rows.span or rows.window
    # one pass over the same rows, under whichever name they are wanted
    source = {OWN_OF: ROWS_OF} if own is current[c.ROWS] else {}
    for table in dict.fromkeys(source.get(of, of) for of, _ in wanted):
        columns = sorted({column for of, column in wanted if source.get(of, of) == table})
        sides = reference[table], current[table]
        before, now = (by.take_sample(side, columns, seed, sample_rows, span, rows.zone) for side in sides)
        counted = by.count_bins(*sides, before, columns)
        for of, column in wanted:
            if source.get(of, of) == table:
                samples[of, column] = before[column], now[column]
                counts[of, column] = counted[column]
        noisy = sorted({one[1] for one in drawn_for if source.get(one[0], one[0]) == table})
        if noisy:
            totals = counted[noisy[0]].rows
            drawn = prepare_draws((before, now), noisy, UNIT, totals, seed)
            draws |= {(of, name): drawn[name] for of, name in drawn_for if source.get(of, of) == table and name in drawn}
    facts: dict[str, Any] = {}
    if any(check.wants_facts for check in checks):
        usual = reference[c.ROWS] if rows.before is None else rows.before
        facts = {
            "days": tuple(by.count_days(side, rows.zone) for side in (usual, own)),
            "doubled": tuple(by.share_doubled(side) for side in (reference[c.ROWS], own)),
            "repeated": by.share_repeated(rows.previous, own) if rows.previous is not None else (0, 0.0),
        }
    return Evidence(
        rows.window,
        counts,
        samples,
        draws,
        calendar=rows.calendar,
        known_until=rows.known_until,
        figures=dict(figures or {}),
        notes=dict(notes or {}),
        **facts,
    )


def engine_of(rows: Any) -> ModuleType:
    """What counts rows of this kind."""
    import pandas as pd

    return in_memory if isinstance(rows, pd.DataFrame) else in_spark
