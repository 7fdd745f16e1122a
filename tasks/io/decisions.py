"""Adapter: what monitoring found and decided, in SQL. Drift reports, retrain decisions, their requests, and handled alerts.

The tables lie in the database of the ledger. Every record is keyed by what it was made from, so writing it again changes
nothing.
"""

from __future__ import annotations

import contextlib
import json
from contextlib import suppress
from datetime import date

from sqlalchemy import Boolean, Column, Integer, String, Table, Text, UniqueConstraint, insert, select, update
from sqlalchemy.exc import IntegrityError

from tasks.contracts.monitoring import DriftReport, RetrainDecision, RetrainRequest
from tasks.io.database import open_database, tables

_decisions = Table(
    "retrain_decisions",
    tables,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("use_case", String(63), nullable=False),
    Column("idempotency_key", String(200), nullable=False),
    Column("window_start", String(10), nullable=False),
    Column("window_end", String(10), nullable=False),
    Column("retrain", Integer, nullable=False),
    Column("decision", Text, nullable=False),
    UniqueConstraint("use_case", "idempotency_key"),
)
_requests = Table(
    "retrain_requests",
    tables,
    Column("use_case", String(63), primary_key=True),
    Column("idempotency_key", String(200), primary_key=True),
    Column("as_of", String(10), nullable=False),
    Column("taken_by", String(250), nullable=False),
    Column("version", Integer),
    Column("passed", Boolean),
)
_reports = Table(
    "drift_reports",
    tables,
    Column("use_case", String(63), primary_key=True),
    Column("evidence", String(64), primary_key=True),
    Column("window_end", String(10), nullable=False),
    Column("report", Text, nullable=False),
)
_alerts = Table("alerts", tables, Column("key", String(64), primary_key=True))


class DecisionLog:
    """Drift reports, retrain decisions, retrain requests and alerts of all use cases behind one SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self._db = open_database(url)

    # drift reports

    def record_report(self, report: DriftReport) -> None:
        """Keep the drift report of a window. A report with the same evidence is kept once."""
        values = {
            "use_case": report.use_case,
            "evidence": report.evidence,
            "window_end": report.window.end.isoformat(),
            "report": json.dumps(report.to_json(), sort_keys=True),
        }
        with contextlib.suppress(IntegrityError), self._db.begin() as connection:
            connection.execute(insert(_reports).values(values))

    def reports(self, use_case: str) -> list[DriftReport]:
        """All drift reports of a use case, oldest window first."""
        query = select(_reports.c.report).where(_reports.c.use_case == use_case).order_by(_reports.c.window_end)
        with self._db.connect() as connection:
            return [DriftReport.from_json(json.loads(text)) for text in connection.execute(query).scalars()]

    # retrain decisions

    def record_decision(self, decision: RetrainDecision) -> bool:
        """Keep a decision. Returns False if one with its idempotency key exists, which stays as it is."""
        values = {
            "use_case": decision.use_case,
            "idempotency_key": decision.idempotency_key,
            "window_start": decision.window.start.isoformat(),
            "window_end": decision.window.end.isoformat(),
            "retrain": int(decision.retrain),
            "decision": json.dumps(decision.to_json(), sort_keys=True),
        }
        try:
            with self._db.begin() as connection:
                connection.execute(insert(_decisions).values(values))
        except IntegrityError:
            return False
        return True

    def decisions(self, use_case: str) -> list[RetrainDecision]:
        """All decisions of a use case, oldest window first."""
        query = (
            select(_decisions.c.decision)
            .where(_decisions.c.use_case == use_case)
            .order_by(_decisions.c.window_end, _decisions.c.id)
        )
        with self._db.connect() as connection:
            return [RetrainDecision.from_json(json.loads(text)) for text in connection.execute(query).scalars()]

    # retrain requests

    def take_request(self, use_case: str, key: str, as_of: date, run: str) -> bool:
        """Whether `run` is the training run that serves a request: the first run that takes it, also when it repeats."""
        values = {"use_case": use_case, "idempotency_key": key, "as_of": as_of.isoformat(), "taken_by": run}
        try:
            with self._db.begin() as connection:
                connection.execute(insert(_requests).values(values))
        except IntegrityError:
            return any(one.taken_by == run for one in self.requests(use_case) if one.idempotency_key == key)
        return True

    def settle_requests(self, use_case: str, run: str, *, version: int | None, passed: bool) -> None:
        """Record the outcome of the requests that a training run took; a failed run has no version and did not pass."""
        taken = (_requests.c.use_case == use_case) & (_requests.c.taken_by == run)
        with self._db.begin() as connection:
            connection.execute(update(_requests).where(taken).values(version=version, passed=passed))

    def requests(self, use_case: str) -> list[RetrainRequest]:
        """Every request that a training run took, oldest first."""
        query = (
            select(_requests).where(_requests.c.use_case == use_case).order_by(_requests.c.as_of, _requests.c.idempotency_key)
        )
        with self._db.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [RetrainRequest.model_validate({k: v for k, v in row.items() if k != "use_case"}) for row in rows]

    # alerts

    def knows_alert(self, key: str) -> bool:
        """Whether an alert was sent to people."""
        with self._db.connect() as connection:
            return connection.execute(select(_alerts).where(_alerts.c.key == key)).first() is not None

    def add_alert(self, key: str) -> None:
        """Record that an alert was sent to people. A second record of it changes nothing."""
        with suppress(IntegrityError), self._db.begin() as connection:
            connection.execute(insert(_alerts).values({"key": key}))
