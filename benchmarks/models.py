"""The shelf on published tasks, and its speed beside the libraries': `python -m benchmarks.models [section ...]`.

Settings come from a validation part of the training data; a test file is opened once, by what validation chose. Figures are
written to build/bench/models.json as each section ends, with the settings and the tables, and drawn as quality against cost.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import model_data as data
from benchmarks.model_speed import memory, speed
from tasks import columns as c
from tasks.contracts import TaskKind
from tasks.metrics import score_model
from tasks.models import MODELS
from tasks.models.base import Examples, ServedModel

FILE = Path("build") / "bench" / "models.json"
SEED = 7
MEANING = {
    "u1_rmse_ids": "MovieLens 100K, u1.base -> u1.test, RMSE from ids and who rated what alone; published 0.9049",
    "u1_rmse_attributes": "the same with attributes and the day of the rating; published 0.8831",
    "surprise_rmse": "MovieLens 100K, mean RMSE of Surprise's five random folds; published 0.8781",
    "rec_ndcg_at_10": "recommenders split, nDCG@10 of the model that validation chose; published EASE 0.4855",
    "rec_map_at_10": "the same, MAP@10; published EASE 0.1505",
    "bc_precision": "breast cancer, malignant, ten stratified folds; the lecture 0.930",
    "bc_recall": "the same; the lecture 0.859",
    "retail_ndcg_at_10": "Online Retail, bought in the 28 days after one cut in time, of the model that validation chose",
    "oracle_share": "generated shop: nDCG@10 of the model that validation chose over that of the known truth",
    "ials_ratio": "fitting ials over the implicit library called directly, from the same pairs",
    "ease_ratio": "fitting ease over NumPy and SciPy called directly, from the same pairs",
    "topk_ratio": "top 10 of all users over implicit's own top-k, equal factors",
    "batch_ratio": "users per second of recommend over Spark ALS's recommendForAllUsers, equal factors",
    "memory_mb": "peak while ials trains on ten million interactions",
}
Tables = dict[str, list[dict[str, Any]]]
Outcome = tuple[dict[str, float], Tables]
LISTS = ("ndcg_at_10", "map_at_10", "precision_at_10", "recall_at_10")


def grid(kind: str, **choices: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of settings of a kind."""
    found: list[dict[str, Any]] = [{"kind": kind}]
    for name, values in choices.items():
        found = [{**one, name: value} for one in found for value in values]
    return found


SHELF = [
    grid("popularity"),
    grid("item_knn", similarity=["cosine", "bm25"], neighbours=[100, 300]),
    grid("bpr", factors=[64], iterations=[50, 100], learning_rate=[0.01, 0.03], regularization=[0.01, 0.05]),
    grid("ials", factors=[64, 128], regularization=[3.0, 10.0, 30.0, 100.0], alpha=[1.0, 3.0, 10.0]),
    grid("ease", regularization=[100.0, 300.0, 600.0, 1200.0]),
]


def fit(settings: dict[str, Any], train: Examples, history: Examples) -> tuple[ServedModel, float]:
    spec = MODELS.parse(settings, "benchmark")
    began = time.perf_counter()
    return spec.fit(train, history, SEED), time.perf_counter() - began


def interval(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """95 % of 1,000 bootstrap means of users."""
    random = np.random.default_rng(SEED)
    means = values[random.integers(0, len(values), (1000, len(values)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def compare_lists(
    shelf: list[list[dict[str, Any]]], chooses: tuple[Examples, Examples], judges: tuple[Examples, Examples], exclude_seen: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Each kind with the settings that are best on `chooses`, measured on `judges`; and the row that validation puts first.

    Each pair: what is learned from, and the features with the labels to find.
    """
    rows = []
    for settings in shelf:
        scores = []
        for one in settings:
            model, _ = fit(one, chooses[0], Examples(chooses[1].features))
            scores.append(
                score_model(model, chooses[1], TaskKind.RECOMMENDATION, LISTS[:1], 10, exclude_seen).metrics[LISTS[0]]
            )
        best = settings[int(np.argmax(scores))]
        model, seconds = fit(best, judges[0], Examples(judges[1].features))
        began = time.perf_counter()
        scored = score_model(model, judges[1], TaskKind.RECOMMENDATION, LISTS, 10, exclude_seen)
        asked = (time.perf_counter() - began) / len(scored.units)
        low, high = interval(scored.units[LISTS[0]].to_numpy(np.float64))
        size = sum(array.nbytes for array in model.state()[1].values()) / 2**20
        row = {"model": best["kind"], "settings": best, "validation_ndcg_at_10": max(scores), **scored.metrics}
        row |= {"low": low, "high": high, "fit_seconds": seconds, "ms_per_user": asked * 1e3, "model_mb": size}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows, max(rows, key=lambda row: row["validation_ndcg_at_10"])


def lists() -> Outcome:
    """The recommenders repository's split: 75/25 per item, all test rows relevant, training items left out."""
    train, test = (data.movielens(f"recommenders_split75_{part}.tsv") for part in ("train", "test"))
    drawn = np.random.default_rng(SEED).random(len(train)) < 0.25
    parts = [(train[~drawn], train[drawn]), (train, test)]
    examples = [Examples(data.rating_tables(learn), find.assign(label=1.0)) for learn, find in parts]
    rows, best = compare_lists(SHELF, (examples[0],) * 2, (examples[1],) * 2, exclude_seen=True)
    return {"rec_ndcg_at_10": best["ndcg_at_10"], "rec_map_at_10": best["map_at_10"]}, {"recommenders_split": rows}


def shop_lists(rows: pd.DataFrame, cut: pd.Timestamp, name: str) -> tuple[list[dict[str, Any]], dict[str, Any], Examples]:
    """One global cut in time; the two windows before it teach and choose."""
    past, chooses, judges = (data.shop_examples(rows, cut - pd.Timedelta(days=28 * back), 28) for back in (2, 1, 0))
    extra = [
        grid("ials", factors=[64], regularization=[10.0, 30.0], alpha=[5.0], fade_days=[30.0, 90.0]),
        grid("item_knn", neighbours=[100], count_orders=[True], fade_days=[30.0, 90.0]),
        grid("propensity_regression"),
    ]
    found, best = compare_lists([SHELF[0], SHELF[4], *extra], (past, chooses), (chooses, judges), exclude_seen=False)
    print(f"{name}: {best['model']}", flush=True)
    return found, best, judges


def retail() -> Outcome:
    """Online Retail: buys the item in the next 28 days."""
    found, best, _ = shop_lists(data.retail(), pd.Timestamp("2011-11-11"), "retail")
    return {"retail_ndcg_at_10": best["ndcg_at_10"]}, {"retail": found}


def oracle() -> Outcome:
    """The generated shop, whose truth ranks as well as anything can."""
    rows, truth = data.generated()
    cut = pd.Timestamp("2025-07-01")
    found, best, judges = shop_lists(rows, cut, "generated")
    labels, features = judges.labels, judges.features
    assert labels is not None and features is not None  # noqa: S101
    middle = (cut + pd.Timedelta(days=14)).date()
    on_sale = set(truth.customers(middle))  # type: ignore[attr-defined]
    shares = []
    for user, wanted in labels.groupby(c.USER_ID)[c.ITEM_ID]:
        if user in on_sale:
            listed = truth.best_items(user, middle, 10)  # type: ignore[attr-defined]
            hits = np.array([item in set(wanted) for item in listed], dtype=np.float64)
            discount = 1.0 / np.log2(np.arange(2, 12))
            shares.append(float(hits @ discount / discount[: min(10, len(wanted))].sum()))
    reachable = float(np.mean(shares))
    return {"oracle_share": best["ndcg_at_10"] / reachable}, {
        "generated": [*found, {"model": "truth", "ndcg_at_10": reachable}]
    }


def rmse(settings: dict[str, Any], learn: pd.DataFrame, find: pd.DataFrame) -> tuple[float, float, float]:
    """RMSE, MAE and seconds; the day of a rating that is asked for is known, as its user and film are."""
    newest = int(max(learn["day"].max(), find["day"].max()))
    features = data.rating_tables(learn, newest)
    model, seconds = fit(settings, Examples(features), Examples(features))
    asked = find[[c.USER_ID, c.ITEM_ID]].assign(pair_recency_days=(newest + 1 - find["day"]).astype(float))
    error = model.predict_ratings(asked, features) - find[c.LABEL].to_numpy()
    return float(np.sqrt((error**2).mean())), float(np.abs(error).mean()), seconds


def ratings() -> Outcome:
    """MovieLens 100K: u1, and the five folds of Surprise."""
    base, test, whole = (data.movielens(name) for name in ("u1.base", "u1.test", "u.data"))
    # u1.test asks half of the users, for about two fifths of what each rated: so does the validation part.
    random = np.random.default_rng(SEED)
    names = np.unique(base[c.USER_ID])
    half = random.choice(names, len(names) // 2, replace=False)
    drawn = base[c.USER_ID].isin(half).to_numpy() & (random.random(len(base)) < 0.4)
    table, figures, chosen = [], {}, {}
    ids = {"use_attributes": [False], "iterations": [600], "served_samples": [300]}
    shelves = {
        "bias": grid("bias"),
        "u1_rmse_ids": [
            *grid("factorization_machine", use_histories=[False], factors=[6, 10], **ids),
            *grid("factorization_machine", use_histories=[True], factors=[4, 6, 10], **ids),
        ],
        "u1_rmse_attributes": [
            *grid("factorization_machine", use_days=[False], factors=[6]),
            *grid("factorization_machine", use_days=[True], factors=[6, 10]),
        ],
    }
    for figure, settings in shelves.items():
        scores = [rmse(one, base[~drawn], base[drawn])[0] for one in settings]
        chosen[figure] = settings[int(np.argmin(scores))]
        error, absolute, seconds = rmse(chosen[figure], base, test)
        row = {"model": figure, "settings": chosen[figure], "validation_rmse": min(scores)}
        table.append(row | {"rmse": error, "mae": absolute, "fit_seconds": seconds})
        print(json.dumps(table[-1]), flush=True)
        if figure != "bias":
            figures[figure] = error
    order = np.arange(len(whole))
    np.random.RandomState(0).shuffle(order)  # the folds are defined by it
    folds = []
    for fold in range(5):
        part = order[fold * 20_000 : (fold + 1) * 20_000]
        rest = np.setdiff1d(order, part)
        folds.append(rmse(chosen["u1_rmse_attributes"], whole.iloc[rest], whole.iloc[part]))
        print(fold, folds[-1], flush=True)
    mean = np.mean(folds, axis=0)
    table.append({"model": "surprise_folds", "settings": chosen["u1_rmse_attributes"], "rmse": mean[0], "mae": mean[1]})
    return {**figures, "surprise_rmse": float(mean[0])}, {"ratings": table}


def tabular() -> Outcome:
    """Breast cancer, ten stratified folds; in each the kind is chosen by log loss on a fifth of the nine others."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import StratifiedKFold, train_test_split

    found = load_breast_cancer(as_frame=True)
    rows = found.data.assign(**{c.TARGET: 1 - found.target, c.ROW_ID: [f"r{i:03d}" for i in range(len(found.data))]})
    target = rows[c.TARGET].to_numpy()
    kinds = [
        "logistic_regression", "linear_svm", "kernel_svm", "mlp", "nearest_neighbours", "random_forest", "gradient_boosting",
    ]  # fmt: skip
    answers = {kind: np.zeros(len(rows)) for kind in [*kinds, "chosen"]}
    seconds = dict.fromkeys(kinds, 0.0)
    for learn, find in StratifiedKFold(10, shuffle=True, random_state=SEED).split(rows, target):
        inner, chooses = train_test_split(learn, test_size=0.2, stratify=target[learn], random_state=SEED)
        losses = {}
        for kind in kinds:
            trial, _ = fit({"kind": kind}, Examples(rows=rows.iloc[inner]), Examples())
            told = np.clip(trial.predict_rows(rows.iloc[chooses]), 1e-9, 1 - 1e-9)
            losses[kind] = -np.log(np.where(target[chooses] == 1, told, 1 - told)).mean()
            model, took = fit({"kind": kind}, Examples(rows=rows.iloc[learn]), Examples())
            seconds[kind] += took / 10
            answers[kind][find] = model.predict_rows(rows.iloc[find])
        answers["chosen"][find] = answers[min(losses, key=lambda kind: losses[kind])][find]
        print(losses, flush=True)
    table = []
    for kind, told in answers.items():
        positive = told >= 0.5
        hits = float((positive & (target == 1)).sum())
        row = {"model": kind, "precision": hits / positive.sum(), "recall": hits / target.sum()}
        table.append(row | {"accuracy": float((positive == target).mean()), "fit_seconds": seconds.get(kind, 0.0)})
    return {"bc_precision": table[-1]["precision"], "bc_recall": table[-1]["recall"]}, {"breast_cancer": table}


SECTIONS: dict[str, Callable[[], Outcome]] = {
    "lists": lists, "tabular": tabular, "speed": speed, "ratings": ratings, "retail": retail, "oracle": oracle,
    "memory": memory,
}  # fmt: skip


def measure(sections: Iterable[str] = tuple(SECTIONS)) -> dict[str, float]:
    """Run the sections; each is written as it ends, so that a long run that is stopped leaves what it found."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    for section in sections:
        figures, tables = SECTIONS[section]()
        document |= figures
        document["tables"] = {**document.get("tables", {}), **tables}
        FILE.write_text(json.dumps(document, indent=1, default=float))
        print(section, json.dumps(figures), flush=True)
        draw(document["tables"])
    return {name: float(document[name]) for name in MEANING if name in document}


def draw(tables: Tables) -> None:
    """Quality against cost: each model of the lists, its interval, and the seconds that it takes to fit."""
    from matplotlib.figure import Figure

    shown = {name: rows for name, rows in tables.items() if rows and "fit_seconds" in rows[0] and "ndcg_at_10" in rows[0]}
    if not shown:
        return
    figure = Figure(figsize=(5.2 * len(shown), 4.2), layout="constrained")
    for axes, (name, rows) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
        for row in (row for row in rows if "fit_seconds" in row):
            around = [[row["ndcg_at_10"] - row["low"]], [row["high"] - row["ndcg_at_10"]]]
            axes.errorbar(row["fit_seconds"], row["ndcg_at_10"], yerr=around, marker="o", color="#4c72b0", capsize=3)
            axes.annotate(row["model"], (row["fit_seconds"], row["ndcg_at_10"]), xytext=(6, 4), textcoords="offset points")
        axes.set(title=name.replace("_", " "), xlabel="seconds to fit", ylabel="nDCG@10 and 95 % interval", xscale="log")
        axes.margins(x=0.35)
        axes.grid(alpha=0.3)
    figure.savefig(FILE.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    for name, value in measure(sys.argv[1:] or SECTIONS).items():
        print(f"{name:20} {value:10.4g}  {MEANING[name]}")
