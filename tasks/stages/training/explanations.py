"""What a classifier goes by: permutation importance, and how a linear one's weights depend on its regularization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.models.base import Examples, ModelSpec, ServedModel
from tasks.models.tabular import feature_columns, read_training_rows
from tasks.stages.training.plots import make_figure
from tasks.stages.training.spec import with_settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN = 20  # columns in a picture
ROWS = 2_000  # that importance is measured on
REPEATS = 5
COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#8172b3", "#937860")
PATH = 10.0 ** np.arange(-4, 4.5, 0.5)


class _Fitted:
    """A served model in the form of a scikit-learn estimator, for its inspection module."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model

    def fit(self, *_: Any) -> _Fitted:
        return self


def _log_loss(fitted: _Fitted, rows: pd.DataFrame, target: Any) -> float:
    """Greater is better."""
    predicted = np.clip(fitted.model.predict_rows(rows), 1e-9, 1.0 - 1e-9)
    return float(np.mean(np.where(np.asarray(target) == 1, np.log(predicted), np.log1p(-predicted))))


def measure_importance(model: ServedModel, rows: pd.DataFrame, seed: int) -> tuple[tuple[str, ...], Floats]:
    """Columns, and by how much the log loss rises when each is shuffled: (columns, repeats). Breiman (2001).

    Redundant columns share the importance: each alone may seem to have none.
    """
    from sklearn.inspection import permutation_importance

    drawn = rows.sample(min(ROWS, len(rows)), random_state=seed)
    names = feature_columns(rows)
    found = permutation_importance(
        _Fitted(model), drawn[list(names)], drawn[c.TARGET], scoring=_log_loss, n_repeats=REPEATS, random_state=seed
    )
    return names, np.asarray(found.importances, dtype=np.float64)


def explain(
    spec: ModelSpec, model: ServedModel, train: Examples, validation: Examples, *, seed: int, title: str
) -> dict[str, Figure]:
    """File name -> figure, of a model of rows; nothing for others."""
    if train.rows is None or validation.rows is None or not feature_columns(validation.rows):
        return {}
    figures = {"plots/importance.png": _draw_importance(*measure_importance(model, validation.rows, seed), title)}
    if model.linear_weights() is not None:
        figures["plots/regularization_path.png"] = _draw_path(spec, train, validation.rows, seed, title)
    return figures


def measure_path(
    spec: ModelSpec, train: Examples, validation: pd.DataFrame, seed: int
) -> tuple[tuple[str, ...], Floats, Floats]:
    """Columns as they are learned from, their weights in standard deviations, and the validation log loss, along `PATH`."""
    encoding, values, _ = read_training_rows(train)
    spread, weights, losses = np.nanstd(values, axis=0), [], []
    for strength in PATH:
        model = with_settings(spec, {"regularization": float(strength)}).fit(train, Examples(), seed)
        if (linear := model.linear_weights()) is not None:
            weights.append(linear * spread)
        losses.append(-_log_loss(_Fitted(model), validation, validation[c.TARGET]))
    return encoding.outputs, np.array(weights), np.array(losses)


def _draw_importance(names: tuple[str, ...], importances: Floats, title: str) -> Figure:
    figure, axes = make_figure(f"{title}, importance", "rise of the log loss when the column is shuffled", "")
    order = np.argsort(importances.mean(axis=1), kind="stable")[-SHOWN:]
    axes.boxplot(
        importances[order].T, orientation="horizontal", tick_labels=[names[place] for place in order], widths=0.6, whis=(0, 100)
    )
    axes.axvline(0.0, color="#999999", linestyle="--")
    axes.tick_params(axis="y", labelsize=7)
    return figure


def _draw_path(spec: ModelSpec, train: Examples, validation: pd.DataFrame, seed: int, title: str) -> Figure:
    names, weights, losses = measure_path(spec, train, validation, seed)
    figure, axes = make_figure(f"{title}, path", "regularization", "weight of a standard deviation (thin lines)")
    largest = np.argsort(-np.abs(weights).max(axis=0), kind="stable")[: len(COLOURS)].tolist()
    axes.plot(PATH, np.delete(weights, largest, axis=1), linewidth=1.2, alpha=0.25, color="#999999")
    for place, colour in zip(largest, COLOURS, strict=False):
        axes.plot(PATH, weights[:, place], linewidth=1.2, color=colour, label=names[place])
    axes.set_xscale("log")
    axes.axvline(spec.model_dump()["regularization"], color="#555555", linestyle="--", label="as fitted")
    loss = axes.twinx()
    loss.plot(PATH, losses, color="#c44e52", linewidth=2.5)
    loss.set_ylabel("validation log loss (thick red line)")
    axes.legend(fontsize=7, loc="lower right")
    return figure
