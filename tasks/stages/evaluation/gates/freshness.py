"""The gate of order in time: a challenger needs newer data than the champion, without missing days."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from pydantic import Field

from tasks.contracts.judging import GateResult
from tasks.stages.evaluation.gates.base import Context, Gate, Lineage


class Freshness(Gate):
    """The candidate's data are newer than the champion's, differ from them, and have no missing days.

    Its as_of day is later, the digest of its examples differs, and every day before as_of was validated, from the first
    day that has a label, or from the champion's as_of where that is earlier. `missing_days` may be absent (a shop that is
    closed and delivers no file).
    """

    kind: Literal["freshness"] = "freshness"
    missing_days: int = Field(0, ge=0)

    def check(self, context: Context) -> GateResult:
        split, registered_champion, faults = context.candidate.split, context.registered_champion, []
        if registered_champion is not None and split.as_of <= registered_champion.as_of:
            faults.append(f"the candidate is as of {split.as_of}, not later than the champion ({registered_champion.as_of})")
        if registered_champion is not None and split.digest == registered_champion.data_digest:
            faults.append("it learned from the same rows as the champion")
        missing = _missing(context.lineage, split.as_of, registered_champion.as_of if registered_champion else None)
        if not context.lineage.windows:
            faults.append("the windows of its data are unknown: the holdout names no validated snapshot")
        elif len(missing) > self.missing_days:
            shown = ", ".join(day.isoformat() for day in missing[-5:])
            faults.append(f"{len(missing)} days before {split.as_of} were never validated, the last: {shown}")
        later = (
            f"later than the champion's data ({registered_champion.as_of})"
            if registered_champion
            else "there is no champion yet"
        )
        reason = "; ".join(faults) or f"as of {split.as_of}, {later}, {len(missing)} days missing"
        return self.answer(not faults, reason, missing_days=len(missing))


def _missing(lineage: Lineage, as_of: date, champion_as_of: date | None) -> list[date]:
    """The days up to `as_of` that no window covers, from the first one that matters on."""
    covered = {window.start + timedelta(days=day) for window in lineage.windows for day in range(window.days)}
    starts = [day for day in (lineage.labels_from, champion_as_of) if day is not None]
    first = min(starts or covered, default=as_of)
    days = (first + timedelta(days=place) for place in range((as_of - first).days))
    return [day for day in days if day not in covered]
