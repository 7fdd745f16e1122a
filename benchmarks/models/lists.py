"""Ranked lists: all kinds on the split of the recommenders repository, on Online Retail, and on a generated shop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.models import data
from benchmarks.models.data import Size
from benchmarks.models.upper_bound import best_lists
from benchmarks.runner import Figures
from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.models import MODELS
from tasks.models.base import Examples, ServedModel
from tasks.problems import score_model

SEED = 7
LISTS = ("ndcg_at_10", "map_at_10", "precision_at_10", "recall_at_10", "catalog_coverage_at_10")
Row = dict[str, Any]
Grid = list[dict[str, Any]]


def grid(kind: str, **choices: Iterable[Any]) -> Grid:
    """Every combination of settings of a kind."""
    found: Grid = [{"kind": kind}]
    for name, values in choices.items():
        found = [{**one, name: value} for one in found for value in values]
    return found


FILMS = [
    grid("popularity"),
    grid("als", factors=[10]),
    grid("item_knn", similarity=["cosine", "bm25"], neighbours=[100, 300]),
    grid("content", dimensions=[100]),
    grid("bpr", learning_rate=[0.01, 0.03], regularization=[0.03, 0.05], iterations=[100]),
    grid("ials", factors=[64], regularization=[10.0, 30.0, 100.0], alpha=[1.0, 3.0]),
    grid("hybrid", factors=[64], regularization=[30.0, 100.0], alpha=[1.0, 3.0]),
    grid("ease", regularization=[100.0, 300.0, 600.0, 1200.0]),
]
SHOP = [
    grid("popularity", half_life_days=[7.0, 28.0]),
    grid("als", factors=[64], regularization=[0.1]),
    grid("item_knn", count_orders=[False, True], half_life_days=[None, 60.0]),
    grid("content", half_life_days=[None, 60.0]),
    grid("bpr", factors=[32], learning_rate=[0.03], regularization=[0.05], iterations=[50, 100]),
    grid("ials", factors=[64], regularization=[10.0, 30.0], alpha=[5.0], half_life_days=[None, 60.0]),
    grid("hybrid", factors=[64], regularization=[10.0, 30.0], alpha=[5.0], half_life_days=[60.0]),
    grid("ease", regularization=[300.0, 1000.0], half_life_days=[None, 60.0]),
    grid("propensity_regression"),
]
BENCHMARK = "recommenders repository, benchmark table"
PUBLISHED = {  # of the recommenders split: MAP@10, nDCG@10, precision, recall, source
    "als": (0.0047, 0.0442, 0.0485, 0.0178, BENCHMARK + ", Spark ALS"),
    "item_knn": (0.1140, 0.3938, 0.3406, 0.1854, BENCHMARK + ", SAR"),
    "bpr": (0.1325, 0.4420, 0.3882, 0.2125, BENCHMARK),
    "ials": (0.1456, 0.4734, 0.4115, 0.2250, "implicit, measured before"),
    "ease": (0.1505, 0.4855, 0.4224, 0.2302, "NumPy, measured before"),
    "popularity": (0.0560, 0.2524, 0.2287, 0.1132, "measured before"),
    "published NCF": (0.1077, 0.3961, 0.3473, 0.1808, BENCHMARK),
    "published LightGCN": (0.1209, 0.4198, 0.3796, 0.1960, BENCHMARK),
    "published BiVAE": (0.1461, 0.4751, 0.4118, 0.2191, BENCHMARK),
}


def grids_of(task: TaskKind, chosen: list[Grid], size: Size, without: tuple[str, ...] = ()) -> list[Grid]:
    """The chosen grids, and every other kind of the task with its default settings, so that no kind is left out."""
    if size.kinds is not None:
        return [settings[:1] for settings in chosen if settings[0]["kind"] in size.kinds]
    there = {one[0]["kind"] for one in chosen}
    more = [kind for kind, spec in MODELS.kinds.items() if task in spec.tasks and kind not in {*there, *without}]
    return [*chosen, *(grid(kind) for kind in more)]


def describe(settings: dict[str, Any]) -> str:
    """The settings of a model as text."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if name != "kind") or "default"


def fit(settings: dict[str, Any], train: Examples, history: Examples) -> tuple[ServedModel, float, float]:
    """The model, the seconds of its fit, and the growth of peak memory in MB (0 where not Linux)."""
    spec = MODELS.parse(settings, "benchmark")
    before = memory_mb("VmRSS", restart=True)
    began = time.perf_counter()
    model = spec.fit(train, history, SEED)
    return model, time.perf_counter() - began, memory_mb("VmHWM") - before


def memory_mb(name: str, *, restart: bool = False) -> float:
    """A line of /proc/self/status, such as VmHWM, in MB. `restart` sets the peak back before."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    if restart:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    return next(float(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith(name))


def megabytes(model: ServedModel) -> float:
    """The size of its arrays."""
    return sum(array.nbytes for array in model.state()[1].values()) / 2**20


def interval(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """95 % of 1,000 bootstrap means of users."""
    random = np.random.default_rng(SEED)
    means = values[random.integers(0, len(values), (1000, len(values)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def compare(
    grids: list[Grid], validation: tuple[Examples, Examples], test: tuple[Examples, Examples], *, exclude_seen: bool
) -> tuple[dict[str, Row], str]:
    """Each kind with the settings that are best on `validation`, measured on `test`; and the kind that is best on validation.

    Each pair holds the examples to learn from, and the features with the labels to find.
    """

    def measure(model: ServedModel, on: Examples, names: tuple[str, ...]) -> Any:
        return score_model(
            model, on, ScoringTerms(use_case="test", task=TaskKind.RECOMMENDATION, metrics=names, exclude_seen=exclude_seen)
        )

    rows = {}
    for settings in grids:
        scores = []
        for one in settings:
            model, _, _ = fit(one, validation[0], Examples(validation[1].features))
            scores.append(measure(model, validation[1], LISTS[:1]).metrics[LISTS[0]])
        best = settings[int(np.argmax(scores))]
        model, seconds, risen = fit(best, test[0], Examples(test[1].features))
        began = time.perf_counter()
        scored = measure(model, test[1], LISTS)
        seconds_per_user = (time.perf_counter() - began) / len(scored.units)
        low, high = interval(scored.units[LISTS[0]].to_numpy(np.float64))
        row = {name: scored.metrics[name] for name in LISTS} | {"low": low, "high": high}
        row |= {
            "validation_ndcg_at_10": max(scores),
            "fit_seconds": seconds,
            "fit_mb": risen,
            "ms_per_user": 1e3 * seconds_per_user,
        }
        rows[best["kind"]] = row | {"model_mb": megabytes(model), "settings": describe(best)}
        print(best["kind"], json.dumps(rows[best["kind"]]), flush=True)
    return rows, max(rows, key=lambda kind: rows[kind]["validation_ndcg_at_10"])


def measure_lists(size: Size) -> Figures:
    """The split of the recommenders repository: 75/25 per item, all test rows relevant, training items left out.

    `propensity_regression` is left out: it learns from later purchases, and this split ignores time.
    """
    files = data.movielens_files(size)
    train, test = (data.read_ratings(files, f"recommenders_split75_{part}.tsv") for part in ("train", "test"))
    drawn = np.random.default_rng(SEED).random(len(train)) < 0.25
    parts = [(train[~drawn], train[drawn]), (train, test)]
    found = [Examples(data.rating_tables(learn, files), find.assign(label=1.0)) for learn, find in parts]
    validation, final = ((Examples(one.features), one) for one in found)  # labels are hidden from training
    grids = grids_of(TaskKind.RECOMMENDATION, FILMS, size, ("propensity_regression",))
    rows, best = compare(grids, validation, final, exclude_seen=True)
    for name, (mean, gain, precision, recall, source) in PUBLISHED.items():
        published = {"ndcg_at_10": gain, "map_at_10": mean, "precision_at_10": precision, "recall_at_10": recall}
        row = rows.setdefault(name, {})
        row |= {f"published_{metric}": value for metric, value in published.items()} | {"source": source}
    figures = {"rec_ndcg_at_10": rows[best]["ndcg_at_10"], "rec_map_at_10": rows[best]["map_at_10"]}
    return figures | {"recommenders_table": rows}


def compare_in_shop(rows: pd.DataFrame, cut: pd.Timestamp, size: Size) -> tuple[dict[str, Row], str, Examples]:
    """One global cut in time. The two windows before it are for training and validation."""
    past, validation, test = (data.shop_examples(rows, cut - pd.Timedelta(days=28 * back), 28) for back in (2, 1, 0))
    grids = grids_of(TaskKind.PROPENSITY, SHOP, size)
    found, best = compare(grids, (past, validation), (validation, test), exclude_seen=False)
    return found, best, test


def measure_retail(size: Size) -> Figures:
    """Online Retail: the user buys the item in the next 28 days."""
    rows = data.retail(size)
    found, best, _ = compare_in_shop(rows, rows["day"].max() - pd.Timedelta(days=28), size)
    return {"retail_ndcg_at_10": found[best]["ndcg_at_10"], "retail_table": found}


def measure_oracle(size: Size) -> Figures:
    """The generated shop, beside the best that its invoices allow, and beside the truth."""
    rows, truth = data.generated(SEED, size.generated_days)
    cut = (rows["day"].max() - pd.Timedelta(days=30)).replace(day=1)
    found, best, test = compare_in_shop(rows, cut, size)
    assert test.labels is not None  # noqa: S101  examples of a shop have labels
    bought = {str(user): set(items) for user, items in test.labels.groupby(c.USER_ID)[c.ITEM_ID]}
    middle = (cut + pd.Timedelta(days=14)).date()
    days = {user: day.date() for user, day in rows[rows["day"] >= cut].groupby(c.USER_ID)["day"].first().items()}
    there = set(truth.customers(middle))
    known = {user: truth.best_items(user, middle if user in there else days[user], 10) for user in sorted(bought)}
    half, reachable = best_lists(truth, rows, sorted(bought), cut.date(), middle, steps=size.oracle_steps)
    for name, listed in (("reachable, from half of the samples", half), ("reachable", reachable), ("truth", known)):
        gains = np.array([_gain(listed[user], items) for user, items in bought.items()])
        low, high = interval(gains)
        found[name] = {"ndcg_at_10": float(gains.mean()), "low": low, "high": high}
    top = found[best]["ndcg_at_10"]
    figures = {
        "oracle_share": top / found["reachable"]["ndcg_at_10"],
        "oracle_share_of_truth": top / found["truth"]["ndcg_at_10"],
    }
    return figures | {"generated_table": found}


def _gain(listed: list[str], wanted: set[str]) -> float:
    """nDCG@10."""
    discount = 1.0 / np.log2(np.arange(2, 12))
    hits = np.array([item in wanted for item in listed], dtype=np.float64)
    return float(hits @ discount[: len(hits)] / discount[: min(10, len(wanted))].sum())
