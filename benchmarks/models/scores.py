"""Single answers: ratings of MovieLens 100K, and the classifiers on breast cancer with the lecture's machine that overfits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.models import data
from benchmarks.models.lists import SEED, Grid, Outcome, Row, fit, grid, interval, megabytes
from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.models import MODELS
from tasks.models.base import Examples, ModelSpec, ServedModel
from tasks.models.tabular import feature_columns
from tasks.stages.training.learning import measure as measure_learning

PUBLISHED = {
    "bias": (0.9599, "measured before"),
    "u1_rmse_ids": (0.9049, "myFM, rank 10, 300 iterations, measured before"),
    "u1_rmse_attributes": (0.8831, "myFM, measured before"),
    "surprise_rmse": (0.8781, "myFM, measured before"),
    "published SVD++, five folds": (0.919, "Surprise"),
    "published GC-MC": (0.905, "arXiv 1706.02263"),
    "published GHRS": (0.887, "paper"),
}
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
FEW: dict[str, dict[str, Any]] = {"spark_gradient_boosting": {"trees": 10}}  # each tree is a job of Spark's, of seconds


def rate(settings: dict[str, Any], learn: pd.DataFrame, find: pd.DataFrame) -> tuple[Floats, Row]:
    """The error of each rating, and what it cost; the day of a rating that is asked for is known, as its user and film are."""
    newest = int(max(learn["day"].max(), find["day"].max()))
    features = data.rating_tables(learn, newest)
    model, seconds, risen = fit(settings, Examples(features), Examples(features))
    asked = find[[c.USER_ID, c.ITEM_ID]].assign(pair_recency_days=(newest + 1 - find["day"]).astype(float))
    began = time.perf_counter()
    errors = model.predict_ratings(asked, features) - find[c.LABEL].to_numpy()
    took = (time.perf_counter() - began) / len(asked) * 1e3
    return errors, {"fit_seconds": seconds, "fit_mb": risen, "ms_per_rating": took, "model_mb": megabytes(model)}


def rmse(errors: Floats) -> float:
    return float(np.sqrt((errors**2).mean()))


def ratings() -> Outcome:
    """MovieLens 100K: u1, and the five folds of Surprise.

    `rating_regression` is not here: it learns from what came after, and these splits have no time.
    """
    base, test, whole = (data.movielens(name) for name in ("u1.base", "u1.test", "u.data"))
    # u1.test asks half of the users for about two fifths of what each rated. So does a validation part, of a quarter of them:
    # as much is left to learn from as there is for the test.
    random = np.random.default_rng(SEED)
    quarters = np.array_split(random.permutation(np.unique(base[c.USER_ID])), 4)[:2]
    hidden = [base[c.USER_ID].isin(users).to_numpy() & (random.random(len(base)) < 0.4) for users in quarters]
    parts = [(base[~drawn], base[drawn]) for drawn in hidden]
    table: dict[str, Row] = {}
    chosen = {}
    chains = grid("factorization_machine", chains=[4], served_samples=[300])[0]
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
        scores = [float(np.mean([rmse(rate(one, *part)[0]) for part in parts])) for one in settings]
        print(figure, scores, flush=True)
        chosen[figure] = settings[int(np.argmin(scores))]
        errors, costs = rate(chosen[figure], base, test)
        told = ", ".join(f"{name} {value}" for name, value in chosen[figure].items() if name != "kind")
        low, high = np.sqrt(interval(errors**2))
        row = {
            "validation_rmse": min(scores),
            "rmse": rmse(errors),
            "low": low,
            "high": high,
            "mae": float(np.abs(errors).mean()),
        }
        table[figure] = row | costs | {"settings": told or "as it comes"}
        print(figure, json.dumps(table[figure]), flush=True)
    order = np.arange(len(whole))
    np.random.RandomState(0).shuffle(order)  # the folds are defined by it
    folds = []
    for fold in range(5):
        part = order[fold * 20_000 : (fold + 1) * 20_000]
        rest = np.setdiff1d(order, part)
        errors, costs = rate(chosen["u1_rmse_attributes"], whole.iloc[rest], whole.iloc[part])
        folds.append((rmse(errors), float(np.abs(errors).mean()), costs["fit_seconds"]))
        print(fold, folds[-1], flush=True)
    told = table["u1_rmse_attributes"]["settings"]
    means = dict(zip(("rmse", "mae", "fit_seconds"), np.mean(folds, axis=0).tolist(), strict=True))
    table["surprise_rmse"] = {**means, "settings": told}
    for name, (error, source) in PUBLISHED.items():
        table.setdefault(name, {}).update(published_rmse=error, source=source)
    return {name: row["rmse"] for name, row in table.items() if name.endswith(("ids", "utes", "surprise_rmse"))}, {
        "ratings_table": table
    }


def tabular() -> Outcome:
    """Breast cancer, ten stratified folds; in each the kind is chosen by log loss on a fifth of the nine others."""
    from sklearn.model_selection import StratifiedKFold, train_test_split

    rows, target = breast_cancer()
    answers = {kind: np.zeros(len(rows)) for kind in [*CLASSIFIERS, "chosen"]}
    costs = {kind: np.zeros(4) for kind in CLASSIFIERS}
    for learn, find in StratifiedKFold(10, shuffle=True, random_state=SEED).split(rows, target):
        inner, chooses = train_test_split(learn, test_size=0.2, stratify=target[learn], random_state=SEED)
        losses = {}
        for kind in CLASSIFIERS:
            trial = fit({"kind": kind, **FEW.get(kind, {})}, Examples(rows=rows.iloc[inner]), Examples())[0]
            told = np.clip(trial.predict_rows(rows.iloc[chooses]), 1e-9, 1 - 1e-9)
            losses[kind] = -np.log(np.where(target[chooses] == 1, told, 1 - told)).mean()
            model, took, risen = fit({"kind": kind, **FEW.get(kind, {})}, Examples(rows=rows.iloc[learn]), Examples())
            began = time.perf_counter()
            answers[kind][find] = model.predict_rows(rows.iloc[find])
            asked = (time.perf_counter() - began) / len(find) * 1e3
            costs[kind] += np.array([took, risen, asked, megabytes(model)]) / 10
        answers["chosen"][find] = answers[min(losses, key=lambda kind: losses[kind])][find]
    table: dict[str, Row] = {}
    for kind, told in answers.items():
        right = ((told >= 0.5) == (target == 1)).astype(np.float64)
        low, high = interval(right)
        hits = float(((told >= 0.5) & (target == 1)).sum())
        table[kind] = {"precision": hits / max((told >= 0.5).sum(), 1), "recall": hits / target.sum(), "accuracy": right.mean()}
        table[kind] |= {"low": low, "high": high}
        if kind in costs:
            table[kind] |= dict(zip(("fit_seconds", "fit_mb", "ms_per_row", "model_mb"), costs[kind].tolist(), strict=True))
    table["the lecture's logistic regression"] = {"precision": 0.930, "recall": 0.859}
    figures = {"bc_precision": table["chosen"]["precision"], "bc_recall": table["chosen"]["recall"]}
    return figures, {"breast_cancer_table": table, "by_heart_table": by_heart(rows, target)}


def breast_cancer() -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Rows and whether each is malignant."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    names = {c.TARGET: 1 - found.target, c.ROW_ID: [f"r{row:03d}" for row in range(len(found.data))]}
    return found.data.assign(**names), (1 - found.target).to_numpy()


class RawSvm(ModelSpec):
    """The lecture's machine: a Gaussian kernel on columns as they are, of which the widest alone says who is near to whom."""

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["raw_svm"] = "raw_svm"

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        from sklearn.svm import SVC

        assert train.rows is not None  # noqa: S101
        names = feature_columns(train.rows)
        machine = SVC(gamma="auto").fit(train.rows[list(names)], train.rows[c.TARGET])
        return AsLearned(lambda rows: machine.predict(rows[list(names)]).astype(np.float64))


class AsLearned(ServedModel):
    """Answers by a function; it is looked at here and never exported."""

    kind = "as_learned"

    def __init__(self, answer: Callable[[pd.DataFrame], Floats]) -> None:
        self.answer = answer

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        return self.answer(rows)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> AsLearned:
        raise NotImplementedError("it has no state")


def by_heart(rows: pd.DataFrame, target: NDArray[np.int64], kinds: tuple[str, ...] = CLASSIFIERS) -> dict[str, Row]:
    """The last point of each learning curve, on a fifth of the rows, and what the curve says of it."""
    from sklearn.model_selection import train_test_split

    learn, find = train_test_split(np.arange(len(rows)), test_size=0.2, stratify=target, random_state=SEED)
    table: dict[str, Row] = {"the lecture's SVM": {"accuracy_fitted": 0.995, "accuracy": 0.608}}
    for spec in (RawSvm(), *(MODELS.parse({"kind": kind}, "benchmark") for kind in kinds if kind not in FEW)):
        parts = (Examples(rows=rows.iloc[learn]), Examples(rows=rows.iloc[find]))
        curve = measure_learning(spec, TaskKind.CLASSIFICATION, *parts, "accuracy", 10, False, SEED, budget_seconds=60.0)
        last = curve.points[-1]
        told = {"accuracy_fitted": last.fitted, "accuracy": last.validation}
        table[spec.kind] = told | {"flagged": float(curve.is_overfitting)}
    return table
