"""Adapter: events of users and outcomes of predictions, as clients send them to the endpoint. Idempotent by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    delete,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from tasks.errors import ServiceUnavailable
from tasks.io.database import open_database, tables

_events = Table(
    "events",
    tables,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("use_case", String(63), nullable=False),
    Column("event_id", String(200), nullable=False),
    Column("user_id", String(200), nullable=False),
    Column("item_id", String(200), nullable=False),
    Column("event_type", String(16), nullable=False),
    Column("event_at", DateTime(timezone=True), nullable=False),
    Column("ingested_at", DateTime(timezone=True), nullable=False),
    Column("value", Float),
    Column("quantity", Float, nullable=False),
    UniqueConstraint("use_case", "event_id"),
    Index("events_of_user", "use_case", "user_id"),
)
_outcomes = Table(
    "outcomes",
    tables,
    Column("use_case", String(63), primary_key=True),
    Column("prediction_id", String(200), primary_key=True),
    Column("item_id", String(200), primary_key=True),  # '' for the whole prediction
    Column("label", Float, nullable=False),
    Column("happened_at", DateTime(timezone=True), nullable=False),
    Column("ingested_at", DateTime(timezone=True), nullable=False),
)


class KeptEvent(NamedTuple):
    """One stored event; times in UTC."""

    sequence: int
    use_case: str
    event_id: str
    user_id: str
    item_id: str
    event_type: str
    event_at: datetime
    ingested_at: datetime
    value: float | None
    quantity: float


class KeptOutcome(NamedTuple):
    """One stored outcome of a prediction; times in UTC."""

    prediction_id: str
    item_id: str  # '' for the whole prediction
    label: float
    happened_at: datetime
    ingested_at: datetime


class EventStore:
    """Events and outcomes of all use cases behind one SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self._db = open_database(url)

    def add_events(self, use_case: str, events: Sequence[dict[str, Any]], ingested_at: datetime) -> int:
        """Store events, all or none, and return how many were new."""
        return self._add(_events, [{"use_case": use_case, "ingested_at": ingested_at, **one} for one in events])

    def add_outcomes(self, use_case: str, outcomes: Sequence[dict[str, Any]], ingested_at: datetime) -> int:
        """Store outcomes, all or none, and return how many were new. The first outcome of a prediction and item counts."""
        return self._add(_outcomes, [{"use_case": use_case, "ingested_at": ingested_at, **one} for one in outcomes])

    def _add(self, table: Table, rows: list[dict[str, Any]]) -> int:
        dialect = postgresql if self._db.dialect.name == "postgresql" else sqlite
        with self._db.begin() as connection:
            return int(connection.execute(dialect.insert(table).values(rows).on_conflict_do_nothing()).rowcount)

    def events_after(self, sequence: int, *, limit: int = 10_000) -> list[KeptEvent]:
        """The events after a sequence number, in their order."""
        query = select(_events).where(_events.c.sequence > sequence).order_by(_events.c.sequence).limit(limit)
        with self._db.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [_kept(row) for row in rows]

    def events_between(self, use_case: str, since: datetime, until: datetime) -> Iterator[KeptEvent]:
        """The events of a use case that were stored from `since` to before `until`, ordered by that time and their id."""
        query = (
            select(_events)
            .where(_events.c.use_case == use_case, _events.c.ingested_at >= since, _events.c.ingested_at < until)
            .order_by(_events.c.ingested_at, _events.c.event_id)
        )
        with self._db.connect() as connection:
            for row in connection.execution_options(yield_per=10_000).execute(query).mappings():
                yield _kept(row)

    def last_sequence(self, before: datetime) -> int:
        """The sequence number of the last event that was stored before a moment; 0 if there is none."""
        query = select(_events.c.sequence).where(_events.c.ingested_at < before).order_by(_events.c.sequence.desc()).limit(1)
        with self._db.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def outcomes_between(self, use_case: str, since: datetime, until: datetime) -> Iterator[KeptOutcome]:
        """The outcomes that were stored from `since` to before `until`, ordered by that time, prediction and item.

        Raises
        ------
        ServiceUnavailable : the database does not answer.
        """
        kept = [_outcomes.c[name] for name in KeptOutcome._fields]
        query = (
            select(*kept)
            .where(_outcomes.c.use_case == use_case, _outcomes.c.ingested_at >= since, _outcomes.c.ingested_at < until)
            .order_by(_outcomes.c.ingested_at, _outcomes.c.prediction_id, _outcomes.c.item_id)
        )
        try:
            with self._db.connect() as connection:
                for row in connection.execution_options(yield_per=10_000).execute(query).mappings():
                    yield KeptOutcome(**{**row, **{name: _utc(row[name]) for name in ("happened_at", "ingested_at")}})
        except OperationalError as error:
            raise ServiceUnavailable(
                f"{use_case}: the outcomes of predictions cannot be read; check TITLEHOLDER_DATABASE_URL and try again. "
                f"{str(error.orig)[:200]}"
            ) from error

    def forget(self, use_case: str, user_id: str, predictions: Sequence[str]) -> int:
        """Erase the events of a user and the outcomes of some predictions, and return the number of erased rows."""
        with self._db.begin() as connection:
            events = delete(_events).where(_events.c.use_case == use_case, _events.c.user_id == user_id)
            gone = int(connection.execute(events).rowcount)
            for start in range(0, len(predictions), 500):
                some = predictions[start : start + 500]
                outcomes = delete(_outcomes).where(_outcomes.c.use_case == use_case, _outcomes.c.prediction_id.in_(some))
                gone += int(connection.execute(outcomes).rowcount)
        return gone


def _kept(row: Mapping[Any, Any]) -> KeptEvent:
    return KeptEvent(**{**row, **{name: _utc(row[name]) for name in ("event_at", "ingested_at")}})


def _utc(moment: datetime) -> datetime:
    """SQLite returns times without their zone; they were stored in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
