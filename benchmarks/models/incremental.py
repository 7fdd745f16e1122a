"""Warm against full training over consecutive weeks: seconds of CPU, and nDCG@10 of the week that followed.

Each week three models are measured: one that starts from nothing (full), one that starts from last week's model (warm), and
the model of the first week (stale: it folds in users, and does not know new items). `ials_loose` has so small a penalty that
every further iteration makes it worse, and warm starts add iterations up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import process_time

import pandas as pd

from benchmarks.models import data
from benchmarks.models.data import Size
from benchmarks.runner import Figures
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models import MODELS
from tasks.models.base import Examples, ModelSpec, ServedModel, WarmStart
from tasks.problems import score_model

SEED, METRIC = 7, "ndcg_at_10"
SPECS = {
    "ials": {"kind": "ials", "factors": 64, "iterations": 15, "regularization": 20.0, "warm_iterations": 3},
    "ials_loose": {"kind": "ials", "factors": 64, "iterations": 15, "regularization": 1.0, "warm_iterations": 3},
    "propensity_regression": {"kind": "propensity_regression"},
}
SHOPS = ("generated", "retail")
MEANING = {
    f"{shop}_{kind}_{what}": f"{text}, mean over the weeks of {kind} on the {shop} shop"
    for shop in SHOPS
    for kind in SPECS
    for what, text in {
        "seconds_ratio": "CPU seconds of a warm training over those of a full one",
        "ndcg_warm_less_full": "nDCG@10 of warm less that of full",
        "ndcg_stale_less_full": "nDCG@10 of the first week's model less that of full",
        "weeks": "each week",
    }.items()
}
Weeks = dict[str, dict[str, float]]


def measure_incremental(size: Size) -> Figures:
    """The generated shop, and Online Retail where TITLEHOLDER_DATA names it."""
    shops = {"generated": data.generated(SEED, size.generated_days)[0]}
    if os.environ.get("TITLEHOLDER_DATA") and not size.generated:
        shops["retail"] = data.retail(size)
    figures: Figures = {}
    for shop, rows in shops.items():
        parts = _weeks(rows, size.weeks)
        for kind, entry in SPECS.items():
            found = _compare(MODELS.parse(entry, kind), parts)
            mean = pd.DataFrame(found).T.iloc[1:].mean()
            figures[f"{shop}_{kind}_seconds_ratio"] = float(mean["warm_seconds"] / mean["full_seconds"])
            for what in ("warm", "stale"):
                figures[f"{shop}_{kind}_ndcg_{what}_less_full"] = float(mean[f"{what}_ndcg"] - mean["full_ndcg"])
            figures[f"{shop}_{kind}_weeks"] = found
    return figures


def _weeks(rows: pd.DataFrame, count: int) -> list[Examples]:
    """Features as of days a week apart, each with the purchases of the next week. The newest day is a week before the end."""
    end = rows["day"].max() - pd.Timedelta(days=6)
    starts = [end - pd.Timedelta(days=7 * back) for back in range(count, -1, -1)]
    return [data.shop_examples(rows, start, 7) for start in starts]


def _compare(spec: ModelSpec, weeks: list[Examples]) -> Weeks:
    """The first week's training is full for all three."""
    if not isinstance(spec, WarmStart):
        raise SystemExit(f"the training of kind '{spec.kind}' cannot start from a champion")
    found: Weeks = {}
    warm: ServedModel | None = None
    stale: ServedModel | None = None
    for number, (train, history) in enumerate(pairwise(weeks)):
        full, full_seconds = _timed(partial(spec.fit, train, history, SEED))
        if warm is None or stale is None:
            warm, warm_seconds, stale = full, full_seconds, full
        else:
            if why := spec.warm_start_problem(warm, train, history):
                raise SystemExit(f"{spec.kind} cannot start warm: {why}")
            warm, warm_seconds = _timed(partial(spec.fit_from, warm, train, history, SEED))
        row = {"full_seconds": full_seconds, "warm_seconds": warm_seconds}
        for name, model in (("full", full), ("warm", warm), ("stale", stale)):
            scored = score_model(model, history, ScoringTerms(use_case="test", task=TaskKind.RECOMMENDATION, metrics=(METRIC,)))
            row[f"{name}_ndcg"] = scored.metrics[METRIC]
        found[f"week {number + 1}"] = row
        print(number + 1, {name: round(value, 4) for name, value in row.items()}, flush=True)
    return found


def _timed(work: Callable[[], ServedModel]) -> tuple[ServedModel, float]:
    began = process_time()
    return work(), process_time() - began


def draw_weeks(figures: Figures, picture: Path) -> None:
    """One column for each shop and kind: quality above, cost below."""
    from matplotlib.figure import Figure

    weeks: dict[str, Weeks] = {name.removesuffix("_weeks"): rows for name, rows in figures.items() if name.endswith("_weeks")}
    figure = Figure(figsize=(3.4 * len(weeks), 5.6), layout="constrained")
    grid = figure.subplots(2, len(weeks), squeeze=False, sharex=True)
    looks = {"full": ("#4c72b0", "-"), "warm": ("#c44e52", "--"), "stale": ("#999999", ":")}
    for (title, found), (quality, cost) in zip(weeks.items(), grid.T, strict=True):
        table = pd.DataFrame(found).T
        x = range(1, len(table) + 1)
        for name, (colour, line) in looks.items():
            quality.plot(x, table[f"{name}_ndcg"], color=colour, linestyle=line, marker="o", markersize=4, label=name)
        for name in ("full", "warm"):
            cost.plot(
                x[1:],
                table[f"{name}_seconds"].iloc[1:],
                color=looks[name][0],
                linestyle=looks[name][1],
                marker="o",
                markersize=4,
            )
        quality.set(title=title.replace("_", " ", 1), ylabel="nDCG@10 of the week that followed")
        quality.legend()
        cost.set(xlabel="week", ylabel="seconds of CPU to train")
        cost.set_ylim(bottom=0.0)
        for axes in (quality, cost):
            axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=80)
