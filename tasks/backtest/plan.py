"""What a backtest replays, and the folder that it keeps everything in."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.contracts.base import Contract, Name, Window
from tasks.errors import ConfigurationError
from tasks.io.storage import write_atomically
from tasks.settings import get_settings
from tasks.use_case import UseCase

PLAN = "plan.json"
BACKTESTS = "backtests"  # folder of the installation in which backtests lie by default


class Retraining(StrEnum):
    """Who decides about retraining in a policy."""

    AS_WRITTEN = "as_written"  # the use case's own monitoring and retrain controller
    NEVER = "never"  # the first champion stays
    EVERY_WEEK = "every_week"  # a training every seven days, whatever monitoring says; gates are disabled, nobody is asked


class PolicyPlan(Contract):
    """One policy of a backtest: a use-case file, and who decides about retraining."""

    name: Name
    retraining: Retraining = Retraining.AS_WRITTEN
    digest: str = Field(description="sha256 of the use-case file")


class Plan(Contract):
    """What is replayed. The same plan in the same folder is the same backtest, which goes on where it stopped.

    start, end : the first day that is decided about, and the day after the last one.
    window_days : the length of a window; None: the windows of the use case's schedule.
    history_days : so many days before `start` are ingested first, without a decision.
    answer_days : how long a person takes to answer a review. Whatever passed the gates is approved.
    world : a generated world instead of files; empty: the use case's own source.
    """

    use_case: Name
    start: date
    end: date
    window_days: int | None = Field(None, ge=1, le=366)
    history_days: int = Field(0, ge=0, le=3660)
    answer_days: float = Field(1.0, ge=0.0, le=365.0)
    world: str = ""
    seed: int = Field(7, ge=0)
    policies: tuple[PolicyPlan, ...] = Field(min_length=1)
    format: Literal[1] = 1

    @model_validator(mode="after")
    def _is_possible(self) -> Plan:
        if self.end <= self.start:
            raise ValueError(f"a backtest ends after it starts; got start {self.start} and end {self.end} (end is exclusive)")
        names = [policy.name for policy in self.policies]
        if len(set(names)) < len(names):
            raise ValueError(f"policies need distinct names; got {', '.join(names)}")
        return self

    def windows(self, use_case: UseCase) -> tuple[list[Window], list[Window]]:
        """The windows that are only ingested, and those that are decided about, each oldest first.

        Raises
        ------
        ConfigurationError : the use case has no schedule and the plan no length, or no window fits.
        """
        first = self.start - timedelta(days=self.history_days)
        if self.window_days is not None:
            length = self.window_days
            count = (self.end - self.start).days // length
            edges = [self.start + timedelta(days=length * step) for step in range(-(self.history_days // length), count + 1)]
        elif use_case.schedule is None:
            raise ConfigurationError(f"{use_case.name} has no schedule: state the days of a window with --window-days")
        else:
            edges = _ticks(use_case.schedule, first, self.end)
        windows = [Window(start=begin, end=end) for begin, end in pairwise(edges)]
        decided = [window for window in windows if window.start >= self.start]
        if not decided:
            raise ConfigurationError(f"no window fits between {self.start} and {self.end}: state another --to or --window-days")
        return [window for window in windows if window.start < self.start], decided


def _ticks(schedule: str, start: date, end: date) -> list[date]:
    """The days on which a schedule ticks, from `start` to `end`, both included."""
    from croniter import croniter

    before = datetime.combine(start, datetime.min.time()) - timedelta(seconds=1)
    ticks = croniter(schedule, before)
    found: list[date] = []
    while (tick := ticks.get_next(datetime).date()) <= end:
        if not found or tick > found[-1]:
            found.append(tick)
    return found


def digest_of(text: str) -> str:
    """The digest that names a use-case file in a plan."""
    return hashlib.sha256(text.encode()).hexdigest()


def default_folder(plan: Plan) -> Path:
    """The folder of a backtest that names none: the same for the same plan."""
    name = digest_of(json.dumps(plan.to_json(), sort_keys=True))[:8]
    return get_settings().home / BACKTESTS / plan.use_case / f"{plan.start}..{plan.end}.{plan.world or 'past'}.{name}"


def open_folder(folder: Path, plan: Plan, texts: dict[str, str]) -> None:
    """Prepare the folder of a backtest, or recognize that it holds this backtest already.

    Parameters
    ----------
    texts : policy -> its use-case file.

    Raises
    ------
    ConfigurationError : the folder holds another backtest, other files, or the state of an installation.
    """
    refuse_production(folder)
    if (folder / PLAN).is_file():
        if read_plan(folder) != plan:
            raise ConfigurationError(f"{folder} holds another backtest; name another folder with --folder, or remove it")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder}: expected a new or empty folder, or that of the same backtest; name another one")
    for policy in plan.policies:
        cases = policy_folder(folder, policy.name) / "use_cases"
        cases.mkdir(parents=True, exist_ok=True)
        (cases / f"{plan.use_case}.yaml").write_text(texts[policy.name])
    write_atomically(folder / PLAN, json.dumps(plan.to_json(), indent=1))


def refuse_production(folder: Path) -> None:
    """Refuse a folder in which a backtest could meet the state of the installation.

    Raises
    ------
    ConfigurationError : it is the home of the installation, holds it, or lies in one of its other folders.
    """
    home, place = get_settings().home.resolve(), folder.resolve()
    allowed = home / BACKTESTS
    if place == home or place in home.parents or (home in place.parents and allowed not in place.parents):
        raise ConfigurationError(
            f"{folder}: a backtest must not meet the state of the installation in {home}; "
            f"expected a folder outside of it, or one under {allowed}"
        )


def read_plan(folder: Path) -> Plan:
    """The plan of a folder.

    Raises
    ------
    ConfigurationError : the folder holds no backtest.
    """
    path = folder / PLAN
    if not path.is_file():
        raise ConfigurationError(f"{folder} holds no backtest: expected a file {PLAN}")
    document: dict[str, Any] = json.loads(path.read_text())
    return Plan.from_json(document)


def policy_folder(folder: Path, policy: str) -> Path:
    """The folder of one policy: its use case, its installation and its journal."""
    return folder / "policies" / policy
