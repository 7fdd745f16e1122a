"""Adapter: the keys of the endpoint. Only their hashes are stored; a key is shown once, when it is created.

A key is `th_<id>_<secret>` with 256 random bits. It cannot be guessed, so a plain SHA-256 is enough.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Column, DateTime, String, Table, insert, select, update

from tasks.errors import ConfigurationError
from tasks.io.database import open_database, tables

_keys = Table(
    "api_keys",
    tables,
    Column("key_id", String(16), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", String(100), nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)


class Scope(StrEnum):
    """What a key permits."""

    PREDICT = "predict"  # request recommendations and predictions, read the state of the endpoint
    EVENTS = "events"  # send events and outcomes
    TRAIN = "train"  # start a training run and read its state
    ADMIN = "admin"  # everything


@dataclass(frozen=True)
class ApiKey:
    """One key as it is stored."""

    key_id: str
    name: str
    digest: str
    scopes: frozenset[Scope]
    made_at: datetime
    revoked_at: datetime | None

    def opens(self, scope: Scope) -> bool:
        """Whether the key permits a scope; `admin` permits all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def digest_key(key: str) -> str:
    """The hash of a key, which is stored in its place."""
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """The keys of an installation, in the database of the ledger."""

    def __init__(self, url: str) -> None:
        self._db = open_database(url)

    def create(self, name: str, scopes: frozenset[Scope], now: datetime) -> tuple[str, ApiKey]:
        """Create a key, and return it with its record. The key itself cannot be read again.

        Raises
        ------
        ConfigurationError : the name is invalid, or there is no scope.
        """
        if not re.fullmatch(r"[\w .@-]{1,100}", name) or not scopes:
            raise ConfigurationError(
                "expected a name of at most 100 letters, digits, spaces and _ . @ -, and at least one scope of "
                f"{', '.join(Scope)}; got {name!r} and {sorted(scopes)}"
            )
        key_id = secrets.token_hex(4)
        key = f"th_{key_id}_{secrets.token_urlsafe(32)}"
        made = ApiKey(key_id, name, digest_key(key), scopes, now.astimezone(UTC), None)
        with self._db.begin() as connection:
            connection.execute(
                insert(_keys).values(
                    key_id=key_id, name=name, digest=made.digest, scopes=",".join(sorted(scopes)), made_at=made.made_at
                )
            )
        return key, made

    def revoke(self, key_id: str, now: datetime) -> None:
        """Revoke a key for good. The endpoint refuses it after its next read of the keys.

        Raises
        ------
        ConfigurationError : there is no such active key.
        """
        with self._db.begin() as connection:
            done = connection.execute(
                update(_keys).where(_keys.c.key_id == key_id, _keys.c.revoked_at.is_(None)).values(revoked_at=now)
            )
        if not done.rowcount:
            active = ", ".join(one.key_id for one in self.all() if one.revoked_at is None) or "none"
            raise ConfigurationError(f"no active key {key_id!r}; active keys: {active}")

    def all(self) -> list[ApiKey]:
        """All keys, also revoked ones, oldest first."""
        with self._db.connect() as connection:
            rows = connection.execute(select(_keys).order_by(_keys.c.made_at)).mappings().all()
        return [
            ApiKey(
                row["key_id"],
                row["name"],
                row["digest"],
                frozenset(Scope(one) for one in row["scopes"].split(",")),
                row["made_at"],
                row["revoked_at"],
            )
            for row in rows
        ]
