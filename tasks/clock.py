"""The clock: the only place that reads the time of day.

A backtest sets it to a past moment, so that every time that a job records is the simulated one. Durations are measured with
`time.perf_counter` and `time.monotonic`, which it does not change.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class _Simulated:
    moment: datetime
    since: float  # time.monotonic() when the clock was set

    def read(self) -> datetime:
        return self.moment + timedelta(seconds=time.monotonic() - self.since)


_simulated: list[_Simulated] = []


def now() -> datetime:
    """The present moment in UTC: of the machine, or of the simulation."""
    return _simulated[-1].read() if _simulated else datetime.now(UTC)


def now_ms() -> int:
    """The present moment in milliseconds since 1970."""
    return int(now().timestamp() * 1000)


@contextmanager
def simulated(moment: datetime) -> Iterator[None]:
    """Set the clock of this process to a moment, in UTC if it has no zone, until the end of the body.

    The simulated clock runs from there as fast as the machine's, so that what happens later is recorded later.
    """
    start = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    _simulated.append(_Simulated(start.astimezone(UTC), time.monotonic()))
    try:
        yield
    finally:
        _simulated.pop()
