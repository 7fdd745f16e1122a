"""Every kind of bad delivery ends as it must, and the last good snapshot stays current."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.errors import SourceError
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.invoice_files import InvoiceFiles
from tests.tasks.stages.bad_inputs import (
    BAD_INPUTS,
    CASE,
    FAULTS,
    GOOD,
    ROWS,
    WINDOW,
    Bad,
    csv_of,
    deliver_good,
    hold,
    hold_rows,
    kill_while_publishing,
    put,
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> tuple[Storage, DatasetRef]:
    """A storage with one good day."""
    home = tmp_path_factory.mktemp("shop")
    storage = Storage(home / "data")
    return storage, deliver_good(home / "first", storage)


@pytest.fixture(scope="module")
def rows_held(shop: tuple[Storage, DatasetRef], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("rows")
    shutil.copytree(shop[0].root, home / "data")
    return hold_rows(home / "in", Storage(home / "data"))


def test_there_are_forty_kinds_and_more() -> None:
    assert len(BAD_INPUTS) + len(FAULTS) >= 40


@pytest.mark.parametrize("name", [name for name in BAD_INPUTS if name not in ROWS])
def test_a_bad_delivery_is_refused(name: str, shop: tuple[Storage, DatasetRef], tmp_path: Path) -> None:
    storage, good = shop
    assert hold(BAD_INPUTS[name], tmp_path / "in", storage, good) == ""


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_bad_row_is_in_quarantine(name: str, rows_held: dict[str, str]) -> None:
    assert rows_held[name] == ""


def test_hold_reports_an_accepted_delivery(shop: tuple[Storage, DatasetRef], tmp_path: Path) -> None:
    """The broken twin of these tests: an accepted delivery makes them fail."""
    storage, good = shop
    assert hold(Bad("refused by ingestion", "", put(csv_of(*GOOD))), tmp_path / "in", storage, good) == "was accepted"


def test_a_byte_order_mark_and_quoted_newlines_are_no_fault(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    quoted = csv_of(*GOOD).replace(b"WHITE HEART", b'"WHITE\nHEART"')
    (tmp_path / "2010-12-01.csv").write_bytes(b"\xef\xbb\xbf" + quoted)
    raw = ingest(CASE, InvoiceFiles(), tmp_path, WINDOW, storage)
    assert raw is not None and raw.rows == {c.ROWS: len(GOOD)}
    assert set(storage.read(raw)[c.ITEM_TEXT]) == {"WHITE\nHEART"}


def test_killed_while_publishing_the_good_snapshot_stays(shop: tuple[Storage, DatasetRef], tmp_path: Path) -> None:
    shutil.copytree(shop[0].root, tmp_path / "data")
    storage = Storage(tmp_path / "data")
    kill_while_publishing(storage)
    assert storage.current(CASE, c.VALIDATED, WINDOW.label) == shop[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_the_good_snapshot_stays(
    shop: tuple[Storage, DatasetRef], tmp_path: Path, small_disk: Path
) -> None:
    shutil.copytree(shop[0].root, small_disk / "data")
    (tmp_path / "in").mkdir()
    many = [line.replace("WHITE HEART", sha256(f"{line}{n}".encode()).hexdigest() * 2) for n in range(60) for line in GOOD]
    put(csv_of(*many))(tmp_path / "in")
    storage = Storage(small_disk / "data")
    with pytest.raises((SourceError, OSError), match="no space is left on the disk"):
        ingest(CASE, InvoiceFiles(), tmp_path / "in", WINDOW, storage)
    assert storage.current(CASE, c.VALIDATED, WINDOW.label) == shop[1]
    assert not list((storage.root / CASE / c.RAW / WINDOW.label).glob(".*")), "debris"
