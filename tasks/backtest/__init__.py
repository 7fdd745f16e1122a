"""Backtests: replay past or generated windows through the real jobs, and compare policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from tasks.backtest.isolation import BacktestFailed, run_process
from tasks.backtest.page import as_table
from tasks.backtest.plan import Plan, PolicyPlan, Retraining, default_folder, digest_of, open_folder
from tasks.backtest.process import REPLAY, REPORT
from tasks.backtest.report import DOCUMENT, PAGE
from tasks.documents import parse_document, read_text
from tasks.errors import ConfigurationError
from tasks.settings import get_settings
from tasks.stages.ingestion.worlds import make_world
from tasks.use_case import UseCase, load_use_case, parse_use_case

__all__ = [
    "BacktestFailed",
    "Options",
    "Plan",
    "Retraining",
    "as_table",
    "default_folder",
    "make_plan",
    "run_backtest",
]

THIS, NEVER, WEEKLY = "this", "never_retrain", "every_week"  # names of the policies that every backtest has


@dataclass(frozen=True)
class Options:
    """What may be said of a backtest beside its days.

    others : files of the same use case with other settings; each is a policy with the name of its file.
    is_alone : leaves out the policies that never retrain, and that retrain every week.
    window_days : None: the windows of the schedule. history_days : None: what the features look back, and three label windows.
    """

    others: Sequence[Path] = ()
    is_alone: bool = False
    world: str = ""
    seed: int = 7
    window_days: int | None = None
    history_days: int | None = None
    answer_days: float = 1.0


@dataclass(frozen=True)
class Done:
    """The report of a backtest: its page and its document in the folder, and the page's address in MLflow."""

    page: Path
    document: Path
    address: str


def make_plan(use_case: str, start: date, end: date, options: Options = Options()) -> tuple[Plan, dict[str, str]]:
    """The plan of a backtest, and the use-case file of each policy.

    Raises
    ------
    ConfigurationError : a file is wrong or of another use case, the world is unknown, or no window fits.
    """
    case = load_use_case(use_case)
    text = read_text(get_settings().use_cases / f"{use_case}.yaml")
    texts = {THIS: text}
    for path in options.others:
        texts[path.stem] = _read_policy(path, use_case)
    ways = dict.fromkeys(texts, Retraining.AS_WRITTEN)
    if not options.is_alone:
        texts |= {NEVER: text, WEEKLY: without_gates(text)}
        ways |= {NEVER: Retraining.NEVER, WEEKLY: Retraining.EVERY_WEEK}
    if options.world:
        make_world(options.world, start, options.seed)
    plan = Plan(
        use_case=use_case,
        start=start,
        end=end,
        window_days=options.window_days,
        history_days=default_history(case) if options.history_days is None else options.history_days,
        answer_days=options.answer_days,
        world=options.world,
        seed=options.seed,
        policies=tuple(PolicyPlan(name=name, retraining=ways[name], digest=digest_of(one)) for name, one in texts.items()),
    )
    plan.windows(case)
    return plan, texts


def _read_policy(path: Path, use_case: str) -> str:
    if not path.is_file():
        raise ConfigurationError(f"--policy {path}: expected the YAML file of a use case; there is no such file")
    text = read_text(path)
    found = parse_use_case(text, path.name)
    if found.name != use_case:
        raise ConfigurationError(f"{path.name}: expected name: {use_case}, as it is another policy of it, got {found.name}")
    if path.stem in (THIS, NEVER, WEEKLY):
        raise ConfigurationError(f"{path.name}: a policy of this name is in every backtest; rename the file")
    return text


def without_gates(text: str) -> str:
    """The use-case file with its gates disabled, whose challengers are promoted without a review."""
    document = parse_document(text, "the use case")
    for section, changed in (("gates", {"mode": "disabled"}), ("review", {"by": "auto"})):
        document[section] = {**(document.get(section) or {}), **changed}
    return yaml.safe_dump(document, sort_keys=False)


def default_history(case: UseCase) -> int:
    """The days before the first decision that a first training needs; none for rows that are not cut by time."""
    return max(case.features.lookback_days) + case.split.window_days if case.split.window_days else 0


def run_backtest(
    folder: Path,
    plan: Plan,
    texts: Mapping[str, str],
    *,
    endpoint_command: Sequence[str],
    tell: Callable[[Mapping[str, Any]], None],
    tracking_uri: str = "",
) -> Done:
    """Replay every policy of a plan, one after another, and write the report. Goes on where it was interrupted.

    Parameters
    ----------
    endpoint_command : starts an endpoint that serves one model, for the gates that measure one.
    tracking_uri : the MLflow server that gets the report as a run; empty: only a store in the folder has it.
    tell : gets each window's progress: policy, place, windows, window, decision, champion, seconds_left.

    Returns
    -------
    Where the report is.

    Raises
    ------
    ConfigurationError : the folder cannot hold this backtest.
    BacktestFailed : a policy's process failed.
    """
    open_folder(folder, plan, dict(texts))
    for policy in plan.policies:
        run_process(folder, plan, policy.name, [REPLAY, *endpoint_command], tell=tell)
    said: list[str] = []
    run_process(
        folder,
        plan,
        plan.policies[0].name,
        [REPORT],
        tracking_uri=tracking_uri,
        tell=lambda line: said.append(line["address"]),
    )
    return Done(folder / PAGE, folder / DOCUMENT, said[-1])
