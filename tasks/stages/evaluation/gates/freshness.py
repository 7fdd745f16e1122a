"""The gate of order in time: a challenger needs newer data than the champion, without missing days."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Literal

from pydantic import Field

from tasks.contracts.calendar import Calendar
from tasks.contracts.judging import GateResult
from tasks.stages.evaluation.gates.base import Context, Gate, Lineage

USUAL_DAYS = 364  # a whole year, so that a season in which a weekday has no delivery does not decide alone


class Freshness(Gate):
    """The candidate's data are newer than the champion's, differ from them, and have no missing days.

    Its as_of day is later, the digest of its examples differs, and every day that it learned from was validated: from the
    first day that has a label to as_of. Rows of a table have labels of all times; there the newest `within_days` count. So
    the count does not grow with the reign of a champion or with the history. A weekday that delivers in fewer than half of
    its weeks (of the year before as_of) is not missed: a shop that is closed on Saturdays delivers no file. Nor is a day that
    the calendar of the use case closes. `missing_days` others may be absent.
    """

    kind: Literal["freshness"] = "freshness"
    missing_days: int = Field(0, ge=0)
    within_days: int = Field(84, ge=7, le=3660, description="where the split states no first day that has a label")

    def check(self, context: Context) -> GateResult:
        split, registered_champion, faults = context.candidate.split, context.registered_champion, []
        if registered_champion is not None and split.as_of <= registered_champion.as_of:
            faults.append(f"the candidate is as of {split.as_of}, not later than the champion ({registered_champion.as_of})")
        if registered_champion is not None and split.digest == registered_champion.data_digest:
            faults.append("it learned from the same rows as the champion")
        missing = self._missing(context.lineage, split.as_of)
        if not context.lineage.windows:
            faults.append("the windows of its data are unknown: the holdout names no validated snapshot")
        elif len(missing) > self.missing_days:
            shown = ", ".join(day.isoformat() for day in missing[-5:])
            faults.append(f"{len(missing)} days before {split.as_of} were never validated, the last: {shown}")
        later = f"later than the champion's data ({registered_champion.as_of})" if registered_champion else context.no_champion
        reason = "; ".join(faults) or f"as of {split.as_of}, {later}, {len(missing)} days missing"
        return self.answer(not faults, reason, missing_days=len(missing))

    def _missing(self, lineage: Lineage, as_of: date) -> list[date]:
        """The days that were learned from, that are open and usually have a delivery, and that no window covers."""
        covered = {window.start + timedelta(days=day) for window in lineage.windows for day in range(window.days)}
        begins = min(covered, default=as_of)
        first = lineage.labels_from or max(begins, as_of - timedelta(days=self.within_days))
        usual = _usual_weekdays(covered, _list_open(max(begins, as_of - timedelta(days=USUAL_DAYS)), as_of, lineage.calendar))
        return [day for day in _list_open(first, as_of, lineage.calendar) if day not in covered and day.weekday() in usual]


def _list_open(first: date, end: date, calendar: Calendar) -> list[date]:
    days = (first + timedelta(days=place) for place in range((end - first).days))
    return [day for day in days if not calendar.is_closed(day)]


def _usual_weekdays(covered: set[date], days: list[date]) -> set[int]:
    """The days of the week that are covered in at least half of their weeks; one without a day yet is expected."""
    there_were, came = Counter(day.weekday() for day in days), Counter(day.weekday() for day in days if day in covered)
    return {weekday for weekday in range(7) if 2 * came[weekday] >= there_were[weekday]}
