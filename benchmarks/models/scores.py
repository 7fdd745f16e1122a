"""Single predictions: ratings of MovieLens 100K, and classifiers on breast cancer beside a model that overfits."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.models import data
from benchmarks.models.data import Size
from benchmarks.models.lists import SEED, Grid, Row, describe, fit, grid, interval, megabytes
from benchmarks.runner import Figures
from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.models.base import Examples
from tests.tasks.stages.training.overfitting import breast_cancer, find_overfitting

PUBLISHED = {
    "bias": (0.9599, "measured before"),
    "u1_rmse_ids": (0.9049, "myFM, rank 10, 300 iterations, measured before"),
    "u1_rmse_attributes": (0.8831, "myFM, measured before"),
    "surprise_rmse": (0.8781, "myFM, measured before"),
    "published SVD++, five folds": (0.919, "Surprise"),
    "published GC-MC": (0.905, "arXiv 1706.02263"),
    "published GHRS": (0.887, "paper"),
}
RMSE = ("u1_rmse_ids", "u1_rmse_attributes", "surprise_rmse")
CLASSIFIERS = (
    "prior",
    "logistic_regression",
    "linear_svm",
    "kernel_svm",
    "mlp",
    "nearest_neighbours",
    "random_forest",
    "gradient_boosting",
    "spark_gradient_boosting",
)
FEW: dict[str, dict[str, Any]] = {"spark_gradient_boosting": {"trees": 10}}  # Spark needs seconds for each tree


def rate(settings: dict[str, Any], learn: pd.DataFrame, find: pd.DataFrame, files: data.Files) -> tuple[Floats, Row]:
    """The error of each rating to `find`, and the costs. The day of a rating is known, as are its user and film."""
    newest = int(max(learn["day"].max(), find["day"].max()))
    features = data.rating_tables(learn, files, newest)
    model, seconds, risen = fit(settings, Examples(features), Examples(features))
    pairs = find[[c.USER_ID, c.ITEM_ID]].assign(pair_recency_days=(newest + 1 - find["day"]).astype(float))
    began = time.perf_counter()
    errors = model.predict_ratings(pairs, features) - find[c.LABEL].to_numpy()
    took = (time.perf_counter() - began) / len(pairs) * 1e3
    return errors, {"fit_seconds": seconds, "fit_mb": risen, "ms_per_rating": took, "model_mb": megabytes(model)}


def rmse(errors: Floats) -> float:
    """Root mean squared error."""
    return float(np.sqrt((errors**2).mean()))


def measure_ratings(size: Size) -> Figures:
    """MovieLens 100K: u1, and the five folds of Surprise.

    `rating_regression` is left out: it learns from later ratings, and these splits ignore time.
    """
    files = data.movielens_files(size)
    base, test, whole = (data.read_ratings(files, name) for name in ("u1.base", "u1.test", "u.data"))
    # u1.test holds about two fifths of the ratings of half of the users. A validation part does the same for a quarter of them,
    # so that as much is left to learn from as for the test.
    random = np.random.default_rng(SEED)
    quarters = np.array_split(random.permutation(np.unique(base[c.USER_ID])), 4)[:2]
    hidden = [base[c.USER_ID].isin(users).to_numpy() & (random.random(len(base)) < 0.4) for users in quarters]
    parts = [(base[~drawn], base[drawn]) for drawn in hidden]
    table: dict[str, Row] = {}
    chosen = {}
    chains = grid("factorization_machine", chains=[size.chains], served_samples=[75 * size.chains])[0]
    chains |= {"iterations": size.iterations}
    ids = {**chains, "use_attributes": False}
    shelves: dict[str, Grid] = {
        "bias": grid("bias"),
        "als": grid("als", factors=[10, 32], regularization=[0.05, 0.1]),
        "spark_fm": grid("spark_fm"),
        "u1_rmse_ids": [
            {**ids, "use_histories": False, "factors": 6},
            *({**ids, "factors": factors} for factors in (6, 10)),
        ],
        "u1_rmse_attributes": [{**chains, "use_days": True, "factors": factors} for factors in (6, 10, 16)],
    }
    for figure, settings in shelves.items():
        if size.rating_tables is not None and figure not in size.rating_tables:
            continue
        scores = [float(np.mean([rmse(rate(one, *part, files)[0]) for part in parts])) for one in settings]
        print(figure, scores, flush=True)
        chosen[figure] = settings[int(np.argmin(scores))]
        errors, costs = rate(chosen[figure], base, test, files)
        low, high = np.sqrt(interval(errors**2))
        row = {
            "validation_rmse": min(scores),
            "rmse": rmse(errors),
            "low": low,
            "high": high,
            "mae": float(np.abs(errors).mean()),
        }
        table[figure] = row | costs | {"settings": describe(chosen[figure])}
        print(figure, json.dumps(table[figure]), flush=True)
    order = np.arange(len(whole))
    np.random.RandomState(0).shuffle(order)  # the folds are defined by it
    folds = []
    for fold, part in enumerate(np.array_split(order, 5)[: size.folds]):
        rest = np.setdiff1d(order, part)
        errors, costs = rate(chosen["u1_rmse_attributes"], whole.iloc[rest], whole.iloc[part], files)
        folds.append((rmse(errors), float(np.abs(errors).mean()), costs["fit_seconds"]))
        print(fold, folds[-1], flush=True)
    means = dict(zip(("rmse", "mae", "fit_seconds"), np.mean(folds, axis=0).tolist(), strict=True))
    table["surprise_rmse"] = {**means, "settings": table["u1_rmse_attributes"]["settings"]}
    for name, (error, source) in PUBLISHED.items():
        table.setdefault(name, {}).update(published_rmse=error, source=source)
    figures = {name: row["rmse"] for name, row in table.items() if name in RMSE and "rmse" in row}
    return figures | {"ratings_table": table}


def measure_tabular(size: Size) -> Figures:
    """Breast cancer, stratified folds. In each the kind is chosen by log loss on a fifth of the other folds."""
    from sklearn.model_selection import StratifiedKFold, train_test_split

    rows, target = breast_cancer()
    kinds = CLASSIFIERS if size.classifiers is None else size.classifiers
    predicted = {kind: np.zeros(len(rows)) for kind in [*kinds, "chosen"]}
    costs = {kind: np.zeros(4) for kind in kinds}
    for learn, find in StratifiedKFold(size.stratified_folds, shuffle=True, random_state=SEED).split(rows, target):
        inner, chooses = train_test_split(learn, test_size=0.2, stratify=target[learn], random_state=SEED)
        losses = {}
        for kind in kinds:
            trial = fit({"kind": kind, **FEW.get(kind, {})}, Examples(rows=rows.iloc[inner]), Examples())[0]
            trusted = np.clip(trial.predict_rows(rows.iloc[chooses]), 1e-9, 1 - 1e-9)
            losses[kind] = -np.log(np.where(target[chooses] == 1, trusted, 1 - trusted)).mean()
            model, took, risen = fit({"kind": kind, **FEW.get(kind, {})}, Examples(rows=rows.iloc[learn]), Examples())
            began = time.perf_counter()
            predicted[kind][find] = model.predict_rows(rows.iloc[find])
            predict_ms = (time.perf_counter() - began) / len(find) * 1e3
            costs[kind] += np.array([took, risen, predict_ms, megabytes(model)]) / size.stratified_folds
        predicted["chosen"][find] = predicted[min(losses, key=lambda kind: losses[kind])][find]
    table: dict[str, Row] = {}
    for kind, probability in predicted.items():
        right = ((probability >= 0.5) == (target == 1)).astype(np.float64)
        low, high = interval(right)
        hits = float(((probability >= 0.5) & (target == 1)).sum())
        table[kind] = {
            "precision": hits / max((probability >= 0.5).sum(), 1),
            "recall": hits / target.sum(),
            "accuracy": right.mean(),
        }
        table[kind] |= {"low": low, "high": high}
        if kind in costs:
            table[kind] |= dict(zip(("fit_seconds", "fit_mb", "ms_per_row", "model_mb"), costs[kind].tolist(), strict=True))
    table["the lecture's logistic regression"] = {"precision": 0.930, "recall": 0.859}
    figures = {"bc_precision": table["chosen"]["precision"], "bc_recall": table["chosen"]["recall"]}
    overfitting = {"the lecture's SVM": {"accuracy_fitted": 0.995, "accuracy": 0.608}}
    overfitting |= find_overfitting([kind for kind in kinds if kind not in FEW])
    return figures | {"breast_cancer_table": table, "overfitting_table": overfitting}
