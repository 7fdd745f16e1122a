"""What happened since the features were made, in memory: what a user just bought counts in the next answer."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from serving.ranking.ranking import Recent
from tasks.io.events import EventStore, KeptEvent

log = logging.getLogger("uvicorn.error.titleholder")

LOOK_SECONDS = 0.25  # other workers' events are here within it; one's own at once
KEPT_DAYS = 7
KEPT_USERS = 100_000  # of which the newest events are kept,
KEPT_EVENTS = 50  # so many of each
OVERLAP = 1000  # sequences that are looked at again: PostgreSQL may show a later one first


class RecentEvents:
    """Follows the kept events. Reading is a look into a dictionary; only the following thread writes."""

    def __init__(self, store: Callable[[], EventStore]) -> None:
        self._store = store
        self._users: OrderedDict[tuple[str, str], deque[tuple[str, Recent]]] = OrderedDict()
        self._last = -1
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow-events", daemon=True)

    def of(self, use_case: str, user_id: str, since: date | None) -> list[Recent]:
        """A user's events from the day of the features on, oldest first."""
        found = self._users.get((use_case, user_id))
        if found is None:
            return []
        return [event for _, event in list(found) if since is None or event.at.date() >= since]

    def look(self) -> None:
        """Read what was kept since the last look."""
        with self._looking:
            if self._last < 0:
                self._last = self._store().last_sequence(datetime.now(UTC) - timedelta(days=KEPT_DAYS))
                after = self._last
            else:
                after = max(0, self._last - OVERLAP)
            while True:
                events = self._store().events_after(after)
                for event in events:
                    self._take(event)
                if not events:
                    return
                after = events[-1].sequence
                self._last = max(self._last, after)

    def _take(self, event: KeptEvent) -> None:
        key = (event.use_case, event.user_id)
        kept = self._users.get(key)
        if kept is None:
            kept = self._users[key] = deque(maxlen=KEPT_EVENTS)
            if len(self._users) > KEPT_USERS:
                self._users.popitem(last=False)
        if all(event_id != event.event_id for event_id, _ in kept):
            kept.append(
                (event.event_id, Recent(event.item_id, event.event_type, event.value or 0.0, event.quantity, event.event_at))
            )

    # the thread

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # a database that is away must not end the thread
                log.error("the events cannot be read: %s", error)
            self._stop.wait(LOOK_SECONDS)
