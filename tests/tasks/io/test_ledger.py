"""The ledger: append-only, chained, and with one winner in every race."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.errors import PromotionRefused, ServiceUnavailable
from tasks.io.database import open_database
from tasks.io.decisions import DecisionLog
from tasks.io.ledger import GENESIS, Ledger
from tasks.settings import ROOT
from tests.ports import free_port
from tests.tasks.io.test_decisions import decision


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path}/ledger.db")


def append(ledger: Ledger, version: int, head: LedgerEntry | None, at: datetime | None = None) -> LedgerEntry:
    return ledger.append(
        use_case="shop",
        action=Action.PROMOTE,
        version=version,
        expected_head=head,
        manifest_digest="m" * 64,
        data_digest="d" * 64,
        report_digest="r" * 64,
        code_version="abc",
        actor="ada",
        trust=Trust.LOCAL,
        reason="better",
        dag_run="run",
        at=at,
    )


def test_entries_follow_each_other(ledger: Ledger) -> None:
    assert ledger.head("shop") is None
    first = append(ledger, 1, None)
    second = append(ledger, 2, first)
    assert (first.previous_digest, second.previous_digest) == (GENESIS, first.entry_digest)
    assert (second.sequence, second.previous_version) == (2, 1)
    assert ledger.entries("shop") == [first, second]
    assert ledger.head("shop") == second
    assert ledger.use_cases() == ["shop"]
    assert ledger.broken_links("shop") == []


def test_a_stale_head_is_refused_with_the_newest_entry(ledger: Ledger) -> None:
    first = append(ledger, 1, None)
    append(ledger, 2, first)
    with pytest.raises(PromotionRefused, match=r"version 3 was not promoted.*version 2 by ada"):
        append(ledger, 3, first)
    assert len(ledger.entries("shop")) == 2


def test_of_twenty_racing_appends_one_wins(ledger: Ledger) -> None:
    race_from(ledger, append(ledger, 1, None))


def race_from(ledger: Ledger, head: LedgerEntry | None) -> None:
    before = len(ledger.entries("shop"))
    results: list[str] = []
    barrier = threading.Barrier(20)

    def race(version: int) -> None:
        barrier.wait()
        try:
            append(ledger, version, head)
            results.append("won")
        except PromotionRefused as error:
            results.append(str(error))

    racers = [threading.Thread(target=race, args=(version,)) for version in range(2, 22)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert results.count("won") == 1
    assert all("the champion changed meanwhile" in line for line in results if line != "won")
    assert len(ledger.entries("shop")) == before + 1


@pytest.mark.parametrize("change", ["actor = 'eve'", "version = 7", "reason = ''", "at = '2001-01-01 00:00:00'"])
def test_an_altered_entry_breaks_the_chain(ledger: Ledger, tmp_path: Path, change: str) -> None:
    append(ledger, 2, append(ledger, 1, None))
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute(f"UPDATE ledger SET {change} WHERE sequence = 1")
    assert ledger.broken_links("shop") == [1]


def test_a_removed_entry_breaks_the_chain(ledger: Ledger, tmp_path: Path) -> None:
    append(ledger, 3, append(ledger, 2, append(ledger, 1, None)))
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("DELETE FROM ledger WHERE sequence = 2")
    assert ledger.broken_links("shop") == [3]


def test_the_champion_at_a_time(ledger: Ledger) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    first = append(ledger, 1, None, noon)
    second = append(ledger, 2, first, noon + timedelta(hours=1))
    assert ledger.champion_at("shop", noon - timedelta(seconds=1)) is None
    assert ledger.champion_at("shop", noon) == first
    assert ledger.champion_at("shop", noon + timedelta(hours=2)) == second


def test_of_two_entries_of_one_moment_the_later_one_counts(ledger: Ledger) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    second = append(ledger, 2, append(ledger, 1, None, noon), noon)
    assert ledger.champion_at("shop", noon) == second


def test_the_champion_across_a_rollback_and_time_zones(ledger: Ledger) -> None:
    berlin = timezone(timedelta(hours=1))
    first = append(ledger, 1, None, datetime(2026, 1, 1, 12, tzinfo=berlin))
    second = append(ledger, 2, first, datetime(2026, 1, 1, 12))  # noqa: DTZ001  # without a zone: UTC
    back = append(ledger, 1, second, datetime(2026, 1, 1, 15, tzinfo=berlin))
    assert [entry.at.hour for entry in ledger.entries("shop")] == [11, 12, 14]
    assert ledger.entries("shop") == [first, second, back]
    for hour, zone, expected in [
        (11, UTC, first),
        (12, berlin, first),
        (13, berlin, second),
        (14, UTC, back),
        (15, berlin, back),
    ]:
        assert ledger.champion_at("shop", datetime(2026, 1, 1, hour, tzinfo=zone)) == expected
    assert ledger.champion_at("shop", datetime(2026, 1, 1, 13)) == second  # noqa: DTZ001
    assert ledger.champion_at("shop", first.at) == first, "the moment that history shows finds its own entry"


def test_a_clock_that_runs_behind_does_not_turn_the_order_around(ledger: Ledger) -> None:
    ahead = append(ledger, 1, None, datetime.now(UTC) + timedelta(hours=1))
    behind = append(ledger, 2, ahead)
    assert behind.at == ahead.at
    assert ledger.champion_at("shop", ahead.at) == behind


def test_a_deleted_head_refuses_the_next_entry(ledger: Ledger, tmp_path: Path) -> None:
    """The key (shop, 3) is free, but the head that the caller read is gone: the key alone would accept this."""
    second = append(ledger, 2, append(ledger, 1, None))
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("DELETE FROM ledger WHERE sequence = 2")
    with pytest.raises(PromotionRefused, match="changed meanwhile to version 1"):
        append(ledger, 3, second)
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("DELETE FROM ledger")
    with pytest.raises(PromotionRefused, match="changed meanwhile to none"):
        append(ledger, 3, second)


def test_a_locked_database_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.io.database.BUSY_MS", 100)
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceUnavailable, match="did not take the entry of version 1; nothing was written"):
            append(ledger, 1, None)
        other.execute("ROLLBACK")
    assert append(ledger, 1, None).sequence == 1


COUNT_ENTRIES = "import sys; from tasks.io.ledger import Ledger; print(len(Ledger(sys.argv[1]).entries('shop')))"

# an installation that is older than the columns trust and is_override

FORMER = """
CREATE TABLE ledger (
    use_case VARCHAR(63) NOT NULL, sequence INTEGER NOT NULL, action VARCHAR(16) NOT NULL, version INTEGER NOT NULL,
    previous_version INTEGER, manifest_digest VARCHAR(64) NOT NULL, data_digest VARCHAR(64) NOT NULL,
    report_digest VARCHAR(64) NOT NULL, code_version VARCHAR(64) NOT NULL, actor VARCHAR(200) NOT NULL, reason TEXT NOT NULL,
    dag_run VARCHAR(250) NOT NULL, at {moment} NOT NULL, entry_digest VARCHAR(64) NOT NULL,
    previous_digest VARCHAR(64) NOT NULL, PRIMARY KEY (use_case, sequence))
"""


def write_former(execute: Callable[[str], object], moment: str = "DATETIME", zone: str = "") -> None:
    """A ledger of two entries as it was written before, with the digests that it was written with."""
    execute(FORMER.format(moment=moment))
    previous = GENESIS
    for sequence in (1, 2):
        fields: dict[str, object] = {
            "use_case": "shop",
            "sequence": sequence,
            "action": "promote",
            "version": sequence,
            "previous_version": sequence - 1 or None,
            "manifest_digest": "m" * 64,
            "data_digest": "d" * 64,
            "report_digest": "r" * 64,
            "code_version": "abc",
            "actor": "ada",
            "reason": "better",
            "dag_run": "run",
            "at": f"2026-01-0{sequence}T12:00:00+00:00",
            "previous_digest": previous,
        }
        previous = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
        fields |= {"entry_digest": previous, "at": f"2026-01-0{sequence} 12:00:00.000000{zone}"}
        values = ", ".join("NULL" if value is None else repr(value) for value in fields.values())
        execute(f"INSERT INTO ledger ({', '.join(fields)}) VALUES ({values})")


def check_former(ledger: Ledger) -> None:
    first, second = ledger.entries("shop")
    assert (first.trust, first.is_override, second.previous_version) == (Trust.ON_TRUST, False, 1)
    assert ledger.broken_links("shop") == []
    third = append(ledger, 3, second)
    assert ledger.head("shop") == third
    assert third.trust is Trust.LOCAL
    assert ledger.broken_links("shop") == []


def test_an_older_installation_goes_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        write_former(database.execute)
    check_former(Ledger(f"sqlite:///{tmp_path}/ledger.db"))
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        database.execute("UPDATE ledger SET actor = 'eve' WHERE sequence = 1")
        database.execute("UPDATE ledger SET trust = 'signed' WHERE sequence = 2")  # better known than it was
        database.execute("UPDATE ledger SET trust = NULL, is_override = NULL WHERE sequence = 3")
    assert Ledger(f"sqlite:///{tmp_path}/ledger.db").broken_links("shop") == [1, 2, 3]


@pytest.mark.servers
def test_processes_that_start_at_once_migrate_a_former_ledger(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        write_former(database.execute)
    command = [sys.executable, "-c", COUNT_ENTRIES, f"sqlite:///{tmp_path}/ledger.db"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) for _ in range(4)]
    assert [one.communicate() for one in started] == [(b"2\n", b"")] * 4


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of its own."""
    pytest.importorskip("psycopg2", reason="PostgreSQL's driver is not installed: pip install psycopg2-binary")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("there is no PostgreSQL server: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="titleholder-postgres-"))  # its socket's path may have 107 characters
    owner = "postgres" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
    if owner:
        shutil.chown(folder, owner)
    port = free_port()
    data = folder / "data"

    def run(program: str, *words: object) -> None:
        command = [str(programs[-1] / program), "-D", str(data), *map(str, words)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=owner)

    run("initdb", "-U", "ada", "-A", "trust", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c timezone=Asia/Tokyo"
    run("pg_ctl", "-l", folder / "log", "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg2://ada@127.0.0.1:{port}/"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_all_of_it_on_postgresql(postgres: str) -> None:
    from sqlalchemy import create_engine

    admin = create_engine(f"{postgres}postgres", isolation_level="AUTOCOMMIT")
    for name in ("fresh", "former", "raced"):
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    admin.dispose()
    fresh = Ledger(f"{postgres}fresh")
    test_the_champion_across_a_rollback_and_time_zones(fresh)
    assert fresh.broken_links("shop") == []
    race_from(fresh, fresh.head("shop"))
    assert fresh.broken_links("shop") == []
    assert DecisionLog(f"{postgres}fresh").record_decision(decision(date(2026, 1, 3), "a"))
    engine = create_engine(f"{postgres}former")
    with engine.begin() as connection:
        write_former(connection.exec_driver_sql, "TIMESTAMP WITH TIME ZONE", "+00")
    engine.dispose()
    check_former(Ledger(f"{postgres}former"))
    command = [sys.executable, "-c", COUNT_ENTRIES, f"{postgres}raced"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) for _ in range(3)]
    assert [one.communicate() for one in started] == [(b"0\n", b"")] * 3


def test_no_call_waits_for_ever_for_postgresql(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECT_SECONDS", "STATEMENT_SECONDS"):
        monkeypatch.setattr(f"tasks.io.database.{name}", 1)
    open_database.cache_clear()
    with pytest.raises(OperationalError, match="statement timeout"), open_database(f"{postgres}postgres").connect() as one:
        one.exec_driver_sql("SELECT pg_sleep(60)")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OperationalError, match="timeout expired"):
        Ledger(f"postgresql+psycopg2://ada@127.0.0.1:{silent.getsockname()[1]}/postgres")
    open_database.cache_clear()
