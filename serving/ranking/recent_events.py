"""Events that the features do not contain yet, in memory, so that a purchase counts in the user's next answer."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from serving.ranking.ranking import RecentEvent
from tasks import clock
from tasks.io.events import EventStore, KeptEvent

log = logging.getLogger("uvicorn.error.titleholder")

POLL_SECONDS = 0.25  # delay of events that other workers accept; this worker's own count at once
KEPT_DAYS = 7
MAX_USERS = 100_000  # the least recently added user is removed first
EVENTS_PER_USER = 50  # the newest
OVERLAP = 1000  # sequence numbers that are read again: PostgreSQL may show a later number before an earlier one


class _Kept(NamedTuple):
    """An event, the id by which it is kept once, and when the store accepted it."""

    event_id: str
    ingested_at: datetime
    event: RecentEvent


class RecentEvents:
    """Follows the event store. Reading is a dictionary lookup; only `reload` writes."""

    def __init__(self, store: Callable[[], EventStore]) -> None:
        self._store = store
        self._users: OrderedDict[tuple[str, str], deque[_Kept]] = OrderedDict()
        self._last_sequence = -1
        self._reloading = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow-events", daemon=True)

    def of_user(self, use_case: str, user_id: str, since: datetime | None) -> list[RecentEvent]:
        """A user's events that features cannot contain, oldest first; all that are kept if `since` is None.

        Those are the events that happened or arrived from the moment on that ends the features' data, a midnight: one of
        23:59:50 that arrives ten seconds later is in the features of the next day only.
        """
        found = self._users.get((use_case, user_id))
        if found is None:
            return []
        return [kept.event for kept in list(found) if since is None or max(kept.event.at, kept.ingested_at) >= since]

    def reload(self) -> None:
        """Read the events that the store accepted since the last call."""
        with self._reloading:
            if self._last_sequence < 0:
                self._last_sequence = self._store().last_sequence(clock.now() - timedelta(days=KEPT_DAYS))
                after = self._last_sequence
            else:
                after = max(0, self._last_sequence - OVERLAP)
            while True:
                events = self._store().events_after(after)
                for event in events:
                    self._add(event)
                if not events:
                    return
                after = events[-1].sequence
                self._last_sequence = max(self._last_sequence, after)

    def _add(self, event: KeptEvent) -> None:
        key = (event.use_case, event.user_id)
        kept = self._users.get(key)
        if kept is None:
            kept = self._users[key] = deque(maxlen=EVENTS_PER_USER)
            if len(self._users) > MAX_USERS:
                self._users.popitem(last=False)
        if all(one.event_id != event.event_id for one in kept):
            recent = RecentEvent(event.item_id, event.event_type, event.value or 0.0, event.quantity, event.event_at)
            kept.append(_Kept(event.event_id, event.ingested_at, recent))

    def start(self) -> None:
        """Reload every `POLL_SECONDS` in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self.reload()
            except Exception as error:  # an unreachable database must not end the thread
                log.error("cannot read the events: %s", error)
            self._stop.wait(POLL_SECONDS)
