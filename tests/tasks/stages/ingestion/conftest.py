"""One small folder of raw files for each kind of source."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tasks.contracts.base import Window
from tasks.contracts.predictions import Prediction
from tasks.io.events import EventStore
from tasks.io.prediction_log import PredictionLog
from tasks.settings import get_settings

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
LINE = "536365,85123a ,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"


def write_day(folder: Path, day: str, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def invoice_folder(folder: Path) -> tuple[Path, Window]:
    write_day(folder, "2010-12-01", LINE, 'C536366,22,"A ""BIG"" TIN,\nblue",-2,2010-12-01 09:00:00,3.0,,EIRE')
    write_day(folder, "2010-12-02", LINE.replace("12-01", "12-02"))
    return folder, Window(start=date(2010, 12, 1), end=date(2010, 12, 3))


def movielens_folder(folder: Path) -> tuple[Path, Window]:
    folder.mkdir(parents=True)
    (folder / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t242\t1\t878887116\n")
    (folder / "u.item").write_bytes("242|Léon (1994)|01-Jan-1994||\n302|L.A. Confidential (1997)|||\n".encode("latin-1"))
    return folder, Window(start=date(1997, 9, 20), end=date(1997, 12, 31))


def breast_cancer_folder(_folder: Path) -> tuple[None, Window]:
    return None, Window(start=date(2026, 1, 1), end=date(2026, 1, 2))


def daily_folder(folder: Path) -> tuple[Path, Window]:
    folder.mkdir(parents=True)
    (folder / "2026-01-05.csv").write_text("event_at,item_id\n2026-01-05 10:00:00,mug\n2026-01-04 10:00:00,pen\n")
    return folder, Window(start=date(2026, 1, 5), end=date(2026, 1, 6))


def answers_folder(folder: Path) -> tuple[Path, Window]:
    made = datetime(2026, 1, 5, 12, tzinfo=UTC)
    answer = Prediction(
        prediction_id="p1",
        made_at=made,
        use_case="shop",
        channel="online",
        subject="ann",
        model_version=1,
        path="model",
        manifest_digest="a" * 64,
        features_version="f" * 16,
        items=("mug", "pen"),
        scores=(0.5, 0.25),
        latency_ms=1.0,
    )
    PredictionLog(get_settings().predictions_root).append([answer])
    return folder, Window(start=date(2026, 1, 5), end=date(2026, 1, 6))


def events_folder(folder: Path) -> tuple[Path, Window]:
    taken, by = datetime(2026, 1, 5, 12, tzinfo=UTC), {"user_id": "ann", "item_id": "mug", "quantity": 2.0}
    get_settings().home.mkdir(exist_ok=True)
    EventStore(get_settings().events_url).add_events(
        "shop",
        [
            {"event_id": "e2", "event_type": "view", "event_at": taken - timedelta(days=2), "value": None, **by},
            {"event_id": "e1", "event_type": "purchase", "event_at": taken, "value": 5.0, **by},
        ],
        taken,
    )
    return folder, Window(start=date(2026, 1, 5), end=date(2026, 1, 6))


# kinds that need more than their kind to be asked
SETTINGS: dict[str, dict[str, object]] = {
    "daily_files": {"cells": {"event_at": "string", "item_id": "string"}},
    "event_log": {"of": "shop"},
    "answer_log": {"of": "shop"},
}
NEEDS_A_SERVER = {"table"}  # its contract is kept in test_table.py
SAMPLES: dict[str, Callable[[Path], tuple[Path | None, Window]]] = {
    "invoice_files": invoice_folder,
    "daily_files": daily_folder,
    "answer_log": answers_folder,
    "event_log": events_folder,
    "movielens": movielens_folder,
    "breast_cancer": breast_cancer_folder,
}


@pytest.fixture(scope="session")
def online_retail(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the 305 real daily files."""
    folder = tmp_path_factory.mktemp("online-retail")
    with tarfile.open(real_data / "online-retail.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "online-retail" / "by-day"


@pytest.fixture(scope="session")
def ml_100k(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the real MovieLens 100K."""
    folder = tmp_path_factory.mktemp("ml-100k")
    with tarfile.open(real_data / "ml-100k.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "ml-100k"
