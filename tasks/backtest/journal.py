"""What happened in a backtest, window by window: one file, replaced as a whole after each step. A kill loses one step."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from tasks.contracts.base import Contract, Window
from tasks.contracts.promotion import OpenReview
from tasks.io.storage import write_atomically

JOURNAL = "journal.json"


class Step(Contract):
    """The outcome of one job: its result as JSON, or why it has none."""

    result: Any = None
    skipped: str = ""
    failed: str = ""
    seconds: float = 0.0


class WaitingReview(Contract):
    """A review that a person answers at `due`."""

    review: OpenReview
    due: datetime


class Promotion(Contract):
    """A change of the champion."""

    version: int
    at: datetime
    by: str
    reason: str


class WindowRecord(Contract):
    """One window of one policy."""

    window: Window
    is_history: bool = False
    steps: dict[str, Step] = Field({}, description="by the name of the job, in the order in which they ran")
    promotions: tuple[Promotion, ...] = ()
    champion: int | None = None
    is_done: bool = False

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps.values())

    @property
    def decision(self) -> dict[str, Any] | None:
        """The retrain decision of the window; None where none was made."""
        step = self.steps.get("decide_retrain")
        return step.result if step else None


class Quality(Contract):
    """The primary metric of the answers of one day, once their outcomes are known."""

    as_of: str
    champion: int
    units: int
    value: float
    low: float
    high: float


class Journal(Contract):
    """All windows of one policy so far."""

    windows: tuple[WindowRecord, ...] = ()
    waiting: tuple[WaitingReview, ...] = ()
    quality: tuple[Quality, ...] = Field((), description="by the day of the answers")
    is_done: bool = False


def read_journal(folder: Path) -> Journal:
    """The journal of a policy's folder; an empty one where it has not begun."""
    path = folder / JOURNAL
    return Journal.from_json(json.loads(path.read_text())) if path.is_file() else Journal()


def write_journal(folder: Path, journal: Journal) -> None:
    """Replace the journal as a whole."""
    write_atomically(folder / JOURNAL, json.dumps(journal.to_json()))
