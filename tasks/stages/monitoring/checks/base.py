"""The base of drift checks, and their evidence: numbers that Spark has counted, and small samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import NO_CALENDAR, Calendar
from tasks.contracts.monitoring import CheckResult, Signal
from tasks.kinds import Spec
from tasks.stages.monitoring.resampling import Draws

if TYPE_CHECKING:
    import pandas as pd

ROWS_OF, PREDICTIONS_OF = "rows", "predictions"  # the tables that checks look at: rows of the days that are compared,
OWN_OF = "own_rows"  # answers, and rows of the run's window alone, in which broken data are looked for
UNIT = f"{c.OWN}unit"  # column of a sample: what is drawn together
UNITS = ("subject", c.USER_ID, c.EVENT_ID, c.ROW_ID)  # the first of them that a row has names its unit
NEVER_EQUAL = (c.ROW_ID, c.SOURCE_FILE, c.INGESTED_AT, c.AS_IT_CAME)  # names of rows, and what their columns say already
OF_ITS_DAY = (c.EVENT_AT, c.EVENT_ID)  # what differs where the same is delivered on another day


@dataclass(frozen=True)
class Counts:
    """How many rows of each side are in each bin; exact, over all rows."""

    names: tuple[str, ...]
    reference: tuple[int, ...]
    current: tuple[int, ...]

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the reference and of the current window."""
        return sum(self.reference), sum(self.current)

    def share(self, name: str) -> tuple[float, float]:
        """The share of a bin, in the reference and in the current window."""
        if name not in self.names:
            return 0.0, 0.0
        place = self.names.index(name)
        before, now = self.rows
        return self.reference[place] / max(1, before), self.current[place] / max(1, now)


@dataclass(frozen=True)
class Evidence:
    """All that is known of a window and its reference. In pairs the reference is first.

    counts : (table, column) -> rows by bin.
    samples : (table, column) -> values of a bounded sample of each side, the same rows every time.
    draws : (table, column) -> windows without drift, drawn from the reference (see resampling.py).
    days : rows by local day of event: of the days before the window, and of the window.
    calendar : which days are closed.
    doubled : share of rows that occur more than once. Of the window, as are `days` and `repeated`.
    known_until : the end of the last window before this one; days since then should be here.
    repeated : rows of the window before that occur once there, and the share of those that this window has again.
    figures : name -> value of what is measured without a reference.
    notes : figure -> why it is not measured.
    """

    window: Window
    counts: Mapping[tuple[str, str], Counts] = field(default_factory=dict)
    samples: Mapping[tuple[str, str], tuple[pd.Series, pd.Series]] = field(default_factory=dict)
    draws: Mapping[tuple[str, str], Draws] = field(default_factory=dict)
    days: tuple[Mapping[date, int], Mapping[date, int]] = field(default_factory=lambda: ({}, {}))
    calendar: Calendar = NO_CALENDAR
    known_until: date | None = None
    doubled: tuple[float, float] = (0.0, 0.0)
    repeated: tuple[int, float] = (0, 0.0)
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


class Distance(NamedTuple):
    """How one column of one table is compared, and from which distance on it is violated."""

    table: str
    column: str
    method: str
    threshold: float


class DriftCheck(Spec):
    """Base of all checks. To add one, see `tasks.stages.monitoring.checks`."""

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """(table, column) of the columns that are counted and sampled for it."""
        return ()

    @property
    def wants_draws(self) -> bool:
        """Whether it compares what it wants with draws from the reference."""
        return False

    @property
    def wants_facts(self) -> bool:
        """Whether it needs days, doubled or repeated rows, which cost a pass over all columns."""
        return False

    @property
    def distances(self) -> tuple[Distance, ...]:
        """The distances that it judges, so that Evidently's page shows them too."""
        return ()

    @abstractmethod
    def judge(self, seen: Evidence) -> tuple[CheckResult, ...]:
        """One result for each column or figure that it judges."""

    def answer(
        self, column: str, method: str, value: float, threshold: float, violated: bool, *, signal: Signal, note: str = ""
    ) -> CheckResult:
        """A result of this check; with a note it is reported and not judged."""
        return CheckResult(
            check=self.kind,
            column=column,
            method=method,
            value=value,
            threshold=threshold,
            violated=violated and not note,
            signal=signal,
            note=note,
        )
