"""What the writers of public files share: lines of orders, and files of text."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

Random = np.random.Generator
FIRST = datetime(2024, 3, 4, tzinfo=UTC)
DAYS = 60


@dataclass(frozen=True)
class Line:
    """A line of an order."""

    at: datetime
    order: int
    user: int
    item: int
    pieces: int
    price: float
    is_known: bool


def make_lines(random: Random, orders_a_day: int = 12, users: int = 80, items: int = 40) -> Iterator[Line]:
    """Orders of a small shop in the order of time. Prices are the items' own."""
    order = 536_365
    for day in range(DAYS):
        times = np.sort(random.integers(8 * 3600, 20 * 3600, orders_a_day))
        for second in times:
            order += 1
            user, is_known = int(random.integers(users)), random.random() > 0.15
            for item in random.choice(items, size=random.integers(1, 5), replace=False):
                at = FIRST + timedelta(days=day, seconds=int(second))
                pieces = -1 if random.random() < 0.02 else int(random.integers(1, 9))
                yield Line(at, order, user, int(item), pieces, round(0.85 + 1.7 * int(item), 2), is_known)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], **options: Any) -> Path:
    encoding = options.pop("encoding", "utf-8")
    with path.open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, **options)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
