"""Whole policies in generated worlds: right decisions, false ones over years, calibration, regret and cost."""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.progress import Progress

from benchmarks.backtest.shop import CASE, START, WEEKLY, replay, write_policy
from benchmarks.backtest.years import SHOPS, count_false_retrains
from benchmarks.gate import benchmark as gate
from benchmarks.gate.judgings import false_promotions_a_year
from benchmarks.runner import Benchmark, Figures, Part
from tasks.backtest import Options
from tasks.settings import ROOT
from tasks.stages.ingestion.worlds import WORLDS, make_world

DAILY = "@daily"
# What is special about the replay of a world; the others have weekly windows and the shipped controller.
POLICIES: dict[str, dict[str, Any]] = {
    "small_shop": {"schedule": DAILY},
    "other_zone": {"time_zone": "America/New_York"},  # its clocks change in the first week
    "equal_challengers": {"max_age_days": 6, "cooldown_days": 0},
}
SHIPPED = "shipped_shop"  # is timed, and has no right decisions
SLOW_PERSON = 3.0  # days until an answer in the world `slow_review`


@dataclass(frozen=True)
class Size:
    """`worlds` by name, replayed for so many `weeks`; `seeds` and `years` of monitoring alone; `year_weeks` that are timed.

    `gate` : simulations of equal challengers.
    """

    worlds: tuple[str, ...] = tuple(name for name in WORLDS if name != SHIPPED)
    weeks: int = 16
    history_days: int | None = None
    seeds: int = 20
    monitored_days: int = 364
    shops: tuple[str, ...] = tuple(SHOPS)
    calibrated: tuple[str, ...] = ("popularity", "ials", "propensity_regression")
    year_weeks: int = 52
    gate: gate.Size = gate.FULL


FULL = Size()


def measure_worlds(size: Size) -> Figures:
    """Replay each world. Drifting ones are compared with never retraining and with retraining every week.

    Each core replays a world in a process of its own, because the settings of an installation are those of a process.
    """
    right, table, regret = 0, {}, {}
    stuck, drifting, missed = 0, 0, 0
    workers = min(len(os.sched_getaffinity(0)), len(size.worlds))
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool, Progress() as progress:
        replayed = pool.map(partial(_replay_world, size=size), size.worlds)
        for name, document in progress.track(zip(size.worlds, replayed, strict=True), len(size.worlds), description="worlds"):
            world, first = make_world(name, START, 7), document["policies"][0]
            violations = first["violations"]
            right += not violations
            stuck += first["failed_windows"]
            if world.expected.retrain_after is not None:
                drifting += 1
                missed += any("no retraining was requested" in one for one in violations)
            table[name] = {"right": float(not violations), "what is not right": "; ".join(violations) or "nothing"}
            shares = {one["name"]: one["regret"] for one in document["policies"] if one["regret"] is not None}
            lost = ", ".join(f"{policy} loses {share:.3f}" for policy, share in shares.items())
            progress.console.print(f"{name}: {table[name]['what is not right']} is wrong. {lost}", soft_wrap=True)
            if world.has_drift and shares:
                regret[name] = shares
    figures: Figures = {
        "worlds": float(len(size.worlds)),
        "worlds_right": float(right),
        "worlds_table": table,
        "stuck_windows": float(stuck),
        "drift_missed_share": missed / max(drifting, 1),
    }
    if regret:
        names = next(iter(regret.values()))
        means = {name: float(np.mean([shares[name] for shares in regret.values()])) for name in names}
        figures |= {"regret_share": means["this"], "regret_table": {**regret, "mean": means}}
    return figures


def _replay_world(name: str, size: Size) -> dict[str, Any]:
    text = write_policy(**POLICIES.get(name, {}))
    if name == "slow_review":
        text = text.replace("by: auto", "by: person")
    is_alone = not make_world(name, START, 7).has_drift
    options = Options(is_alone=is_alone, world=name, history_days=size.history_days, answer_days=SLOW_PERSON)
    with tempfile.TemporaryDirectory() as folder:
        return replay(Path(folder), text, size.weeks, options)


def measure_false_retrains(size: Size) -> Figures:
    """Years of shops in which nothing changes, through the real checks and the real controller, in memory."""
    table: dict[str, dict[str, float]] = {}
    for shop in size.shops:
        table[shop] = {}
        for label, days in (("weekly", 7), ("daily", 1)):
            counts = [count_false_retrains(shop, seed, days, size.monitored_days) for seed in range(size.seeds)]
            table[shop][label] = float(np.mean(counts)) * 364 / size.monitored_days
    worst = max(value for row in table.values() for value in row.values())
    return {"false_retrains_per_year": worst, "false_retrains_table": table}


def measure_calibration(size: Size) -> Figures:
    """Promised over delivered probabilities of the mature answers of a calm shop, one backtest for each kind of model."""
    table = {}
    for kind in size.calibrated:
        text = write_policy(candidates=("popularity", kind))
        options = Options(is_alone=True, world="silent_customers", history_days=size.history_days)
        with tempfile.TemporaryDirectory() as folder:
            replay(Path(folder), _train_only(text, kind), size.weeks, options)
            ratios = _read_ratios(Path(folder) / "backtest")
        if ratios:
            table[kind] = {"ratio": float(np.mean(ratios)), "windows": float(len(ratios))}
    found = [row["ratio"] for row in table.values()]
    if not found:
        return {"calibration_table": table}
    return {"calibration_ratio_low": min(found), "calibration_ratio_high": max(found), "calibration_table": table}


def _train_only(text: str, kind: str) -> str:
    """The policy in which a kind is the only one beside the baseline, and is promoted for sure."""
    document = yaml.safe_load(text)
    document["gates"]["mode"] = "disabled"
    if kind == "popularity":
        document["candidates"] = [{"kind": "popularity"}]
    result: str = yaml.safe_dump(document, sort_keys=False)
    return result


def _read_ratios(folder: Path) -> list[float]:
    from tasks.backtest.journal import read_journal
    from tasks.backtest.plan import policy_folder

    ratios = []
    for record in read_journal(policy_folder(folder, "this")).windows:
        step = record.steps.get("monitor")
        for seen in step.result["windows"] if step and step.result else ():
            ratio = (seen["report"] or {}).get("figures", {}).get("calibration_ratio")
            ratios += [ratio] if ratio else []
    return ratios


def measure_false_promotions(size: Size) -> Figures:
    """Equal challengers that the gate promotes: over years of judgings, and for differences of several shapes."""
    with Progress() as progress:
        task = progress.add_task("judgings", total=size.gate.gate_weeks)
        yearly = false_promotions_a_year(size.gate.gate_years, size.gate.gate_weeks, lambda: progress.advance(task))
    skewed = gate.measure_nulls(size.gate)["skewed_false_promotions"]
    return {"false_promotions_per_year": yearly, "skewed_false_promotions": skewed}


def measure_year(size: Size) -> Figures:
    """The shipped use case on the generated shop, weekly windows, this policy alone."""
    document = yaml.safe_load((ROOT / "conf" / "use_cases" / f"{CASE}.yaml").read_text())
    text = yaml.safe_dump(document | {"schedule": WEEKLY}, sort_keys=False)
    options = Options(is_alone=True, world=SHIPPED, history_days=size.history_days)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = replay(Path(folder), text, size.year_weeks, options, start=START - timedelta(weeks=size.year_weeks))
        minutes = (time.perf_counter() - began) / 60
    return {"year_minutes": minutes, "year_windows": float(len(found["policies"][0]["windows"]))}


MEANING = {
    "worlds": "generated worlds that were replayed, each with its right decisions written down before",
    "worlds_right": "worlds in which every decision was right",
    "worlds_table": "by world: whether every decision was right, and what was not",
    "stuck_windows": "windows in which a job after the validation failed, so that nothing could be promoted",
    "drift_missed_share": "share of the changing worlds in which no retraining was requested within the stated windows",
    "regret_share": "share of the best possible quality that the shipped policy misses, mean of the drifting worlds",
    "regret_table": "the same by world and policy",
    "false_retrains_per_year": f"retrain requests a year without change, weekly and daily: the worst of {', '.join(SHOPS)}",
    "false_retrains_table": "the same by shop and length of the windows",
    **{name: gate.BENCHMARK.meaning[name] for name in ("false_promotions_per_year", "skewed_false_promotions")},
    "calibration_ratio_low": "promised over delivered probabilities, the least of three kinds of models",
    "calibration_ratio_high": "the same, the greatest",
    "calibration_table": "the same by kind",
    "year_minutes": "minutes to replay a year of weekly windows of the generated shop with the shipped use case",
    "year_windows": "windows of that year",
}

BENCHMARK = Benchmark(
    name="backtest",
    parts={
        "worlds": Part(measure_worlds, starts=("servers",)),
        "false_retrains": Part(measure_false_retrains),
        "false_promotions": Part(measure_false_promotions),
        "calibration": Part(measure_calibration, starts=("servers",)),
        "year": Part(measure_year, starts=("servers",)),
    },
    full=FULL,
    smallest=Size(
        worlds=("calm",),
        weeks=1,
        history_days=7,
        seeds=1,
        monitored_days=14,
        shops=("small_shop",),
        calibrated=("popularity",),
        year_weeks=1,
        gate=gate.BENCHMARK.smallest,
    ),
    meaning=MEANING,
)
