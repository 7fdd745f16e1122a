"""Adapter: the ledger (who became champion, when, and who approved it), and the reviews that led to its entries, in SQL.

The ledger is append-only and hash-chained. An entry is one INSERT that names the head that it follows, and its key is
(use_case, sequence): of two promotions that both saw entry n as the head, one inserts n+1 and the other is refused. The
ledger decides, and the MLflow alias is a cache of its head. Times never decrease along the chain, whatever the clocks of
the machines say.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    exists,
    insert,
    literal,
    select,
)
from sqlalchemy.exc import IntegrityError, OperationalError

from tasks import clock
from tasks.contracts.promotion import Action, LedgerEntry, ReviewRecord, Trust
from tasks.errors import PromotionRefused, ServiceUnavailable
from tasks.io.database import open_database, tables

_log = logging.getLogger(__name__)
GENESIS = "0" * 64

_entries = Table(
    "ledger",
    tables,
    Column("use_case", String(63), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("action", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("previous_version", Integer),
    Column("manifest_digest", String(64), nullable=False),
    Column("data_digest", String(64), nullable=False),
    Column("report_digest", String(64), nullable=False),
    Column("code_version", String(64), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("trust", String(16)),  # these two are null in entries that are older than the columns
    Column("is_override", Boolean),
    Column("reason", Text, nullable=False),
    Column("dag_run", String(250), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("judged_digest", String(64)),  # null where the judged model serves, and in older entries
    Column("entry_digest", String(64), nullable=False),
    Column("previous_digest", String(64), nullable=False),
)
_reviews = Table(
    "reviews",
    tables,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("use_case", String(63), nullable=False),
    Column("idempotency_key", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("report_digest", String(64), nullable=False),
    Column("said", String(100), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("trust", String(16)),
    Column("reason", Text, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("dag_run", String(250), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("why_not", Text, nullable=False),
    UniqueConstraint("use_case", "idempotency_key"),
)


class Ledger:
    """The ledger of all use cases behind one SQLAlchemy URL.

    Raises
    ------
    PromotionRefused : from `append`, when the head is no longer the one that the caller saw.
    ServiceUnavailable : from `append`, when the database does not answer, or is locked for too long.
    """

    def __init__(self, url: str) -> None:
        self._db = open_database(url)

    def head(self, use_case: str) -> LedgerEntry | None:
        """The newest entry, which names the champion; None before the first entry."""
        entries = self.entries(use_case, newest=1)
        return entries[-1] if entries else None

    def entries(self, use_case: str, *, newest: int | None = None) -> list[LedgerEntry]:
        """All entries of a use case, or only so many of the `newest`, oldest first."""
        query = select(_entries).where(_entries.c.use_case == use_case).order_by(_entries.c.sequence.desc())
        if newest is not None:
            query = query.limit(newest)
        with self._db.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [_entry(dict(row)) for row in reversed(rows)]

    def use_cases(self) -> list[str]:
        """All use cases with an entry, sorted."""
        with self._db.connect() as connection:
            return sorted(connection.execute(select(_entries.c.use_case).distinct()).scalars())

    def champion_at(self, use_case: str, moment: datetime) -> LedgerEntry | None:
        """The entry that was the head at a moment; None before the first entry.

        A moment without a zone is UTC. Of two entries of the same moment the later one counts.
        """
        past = [entry for entry in self.entries(use_case) if entry.at <= _utc(moment)]
        return past[-1] if past else None

    def append(  # noqa: PLR0913  # each is a column of the entry
        self,
        *,
        use_case: str,
        action: Action,
        version: int,
        expected_head: LedgerEntry | None,
        manifest_digest: str,
        data_digest: str,
        report_digest: str,
        code_version: str,
        actor: str,
        trust: Trust,
        reason: str,
        dag_run: str,
        is_override: bool = False,
        judged_digest: str | None = None,
        at: datetime | None = None,
    ) -> LedgerEntry:
        """Make `version` the champion if `expected_head` still is the head, in one transaction of one statement.

        Parameters
        ----------
        judged_digest : of the model that was judged, where another fit of it serves.
        at : the time of the entry, in UTC if it has no zone; default: now. Simulations and tests pass it.
        """
        now = clock.now()
        fields: dict[str, Any] = {
            "use_case": use_case,
            "sequence": expected_head.sequence + 1 if expected_head else 1,
            "action": action.value,
            "version": version,
            "previous_version": expected_head.version if expected_head else None,
            "manifest_digest": manifest_digest,
            "data_digest": data_digest,
            "report_digest": report_digest,
            "code_version": code_version,
            "actor": actor,
            "trust": trust.value,
            "is_override": is_override,
            "reason": reason,
            "dag_run": dag_run,
            "at": _utc(at) if at else max(now, expected_head.at) if expected_head else now,
            "judged_digest": judged_digest,
            "previous_digest": expected_head.entry_digest if expected_head else GENESIS,
        }
        fields["entry_digest"] = _digest_entry(fields)
        row = select(*(literal(value, _entries.c[name].type) for name, value in fields.items()))
        follows = insert(_entries).from_select(list(fields), row.where(_is_head(use_case, expected_head)))
        try:
            with self._db.begin() as connection:
                written = connection.execute(follows).rowcount
        except IntegrityError:  # two statements saw the same head, and the other entry came first
            written = 0
        except OperationalError as error:
            raise ServiceUnavailable(
                f"{use_case}: the ledger's database did not take the entry of version {version}; nothing was written. "
                f"Check TITLEHOLDER_DATABASE_URL and try again. {str(error.orig)[:200]}"
            ) from error
        if not written:
            head = self.head(use_case)
            present = f"version {head.version} by {head.actor}, entry {head.sequence}" if head else "none"
            raise PromotionRefused(
                f"{use_case}: version {version} was not promoted, because the champion changed meanwhile to {present}. "
                "Trigger the training DAG again, to judge it against that champion."
            )
        _log.info(
            "%s: version %d is the champion by %s (%s); ledger entry %d", use_case, version, actor, reason, fields["sequence"]
        )
        return _entry(fields)

    def broken_links(self, use_case: str) -> list[int]:
        """The numbers of entries that were altered or do not follow their predecessor; empty if the chain is intact."""
        query = select(_entries).where(_entries.c.use_case == use_case).order_by(_entries.c.sequence)
        with self._db.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        broken, previous = [], GENESIS
        for expected, row in enumerate(rows, start=1):
            follows = row["previous_digest"] == previous and row["sequence"] == expected
            if not follows or row["entry_digest"] != _digest_entry(row):
                broken.append(row["sequence"])
            previous = row["entry_digest"]
        return broken

    # reviews

    def record_review(self, record: ReviewRecord) -> bool:
        """Keep a review of a version. Returns False if the same run recorded the same review before, which stays as it is."""
        values = record.model_dump(mode="json") | {"at": record.at}
        identity = {key: value for key, value in values.items() if key != "at"}
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        try:
            with self._db.begin() as connection:
                connection.execute(insert(_reviews).values(**values, idempotency_key=key))
        except IntegrityError:
            return False
        return True

    def reviews(self, use_case: str) -> list[ReviewRecord]:
        """All reviews of a use case, in the order in which they were recorded."""
        columns = [column for column in _reviews.c if column.name in ReviewRecord.model_fields]
        query = select(*columns).where(_reviews.c.use_case == use_case).order_by(_reviews.c.id)
        with self._db.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [ReviewRecord.model_validate({**row, "at": _utc(row["at"])}) for row in rows]


def _utc(moment: datetime) -> datetime:
    """SQLite returns times without their zone; they were stored in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _is_head(use_case: str, expected: LedgerEntry | None) -> Any:
    """The condition that the newest entry is the expected one, or that there is no entry."""
    mine = _entries.c.use_case == use_case
    if expected is None:
        return ~exists(select(_entries.c.sequence).where(mine))
    newest = select(_entries.c.entry_digest).where(mine).order_by(_entries.c.sequence.desc()).limit(1)
    return newest.scalar_subquery() == expected.entry_digest


def _entry(fields: dict[str, Any]) -> LedgerEntry:
    """A row as a contract. The oldest entries have no trust level: their approvals were accepted on trust."""
    known = {"trust": fields["trust"] or Trust.ON_TRUST, "is_override": bool(fields["is_override"]), "at": _utc(fields["at"])}
    return LedgerEntry.model_validate({**fields, **known})


def _digest_entry(fields: dict[str, Any]) -> str:
    """The digest of a row. The columns that older entries lack are left out where they are null."""
    unknown = {name for name in ("trust", "is_override", "judged_digest") if fields[name] is None}
    covered = {key: value for key, value in fields.items() if key != "entry_digest" and key not in unknown}
    covered["at"] = _utc(covered["at"]).isoformat()
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()
