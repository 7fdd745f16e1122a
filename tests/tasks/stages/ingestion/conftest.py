"""Files of the sources, small and real."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.archives import unpack

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
LINE = "536365,85123a ,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"


def write_day(folder: Path, day: str, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@pytest.fixture(scope="session")
def online_retail(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the 305 real daily files."""
    folder = tmp_path_factory.mktemp("online-retail")
    unpack(real_data / "online-retail.tar.xz", folder)
    return folder / "online-retail" / "by-day"


@pytest.fixture(scope="session")
def ml_100k(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the real MovieLens 100K."""
    folder = tmp_path_factory.mktemp("ml-100k")
    unpack(real_data / "ml-100k.tar.xz", folder)
    return folder / "ml-100k"
