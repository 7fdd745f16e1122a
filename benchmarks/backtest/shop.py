"""A small use case for generated worlds, and an installation of its own for each backtest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from tasks import backtest
from tasks.io import isolated_process
from tasks.settings import ROOT, get_settings

CASE = "purchase_propensity"
START = date(2011, 3, 7)  # a Monday
WEEKLY = "0 0 * * 1"


def write_policy(
    *, candidates: Sequence[str] = ("popularity", "ials"), schedule: str = WEEKLY, time_zone: str = "UTC", **changes: Any
) -> str:
    """The shipped use case with weekly windows, without the gate that measures this machine.

    Parameters
    ----------
    candidates : the kinds that are trained.
    changes : of the controller, `drift.retrain_when`.
    """
    document = yaml.safe_load((ROOT / "conf" / "use_cases" / f"{CASE}.yaml").read_text())
    document |= {"schedule": schedule, "time_zone": time_zone}
    document["features"]["lookback_days"] = [7, 28]
    document["candidates"] = [one for one in document["candidates"] if one["kind"] in candidates]
    document["gates"]["checks"] = [gate for gate in document["gates"]["checks"] if gate["kind"] != "serving_budget"]
    document["drift"]["retrain_when"] |= changes
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


@contextmanager
def own_installation(folder: Path, text: str) -> Iterator[None]:
    """The settings of an installation that has one use case, until the end of the body."""
    cases = folder / "use_cases"
    cases.mkdir(parents=True, exist_ok=True)
    (cases / f"{CASE}.yaml").write_text(text)
    before = dict(os.environ)
    os.environ.update(TITLEHOLDER_HOME=str(folder / "home"), TITLEHOLDER_USE_CASES=str(cases))
    get_settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        get_settings.cache_clear()


def replay(folder: Path, text: str, weeks: int, options: backtest.Options, start: date = START) -> dict[str, Any]:
    """The document of a backtest of so many weeks."""
    with own_installation(folder, text):
        plan, texts = backtest.make_plan(CASE, start, start + timedelta(weeks=weeks), options)
        done = backtest.run_backtest(
            folder / "backtest",
            plan,
            texts,
            endpoint_command=isolated_process.command("serving.standalone"),
            tell=lambda _: None,
        )
    document: dict[str, Any] = json.loads(done.document.read_text())
    return document
