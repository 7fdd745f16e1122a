"""Plots of how a model did on the validation window, for the run's page in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from tasks import columns as c
from tasks.contracts.training import TrialState, Tuned
from tasks.metrics import Scored
from tasks.metrics.calibration import bin_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CALIBRATION = "calibration"


def draw(scored: Scored, names: Sequence[str], title: str) -> dict[str, Figure]:
    """File name -> figure, for each plot of `PLOTS` that is named; none where there are no predictions."""
    shown = {name: scored.promised.predictions if name == CALIBRATION else scored.predictions for name in names}
    return {f"plots/{name}.png": PLOTS[name](predictions, title) for name, predictions in shown.items() if len(predictions)}


def _by_rank(predictions: pd.DataFrame, title: str) -> Figure:
    by_rank = predictions.groupby(c.RANK)[c.LABEL].agg(["mean", "sum"])
    figure, axes = make_figure(title, "rank in the list", "share of users who bought the item at this rank")
    axes.bar(by_rank.index, by_rank["mean"], color="#4c72b0")
    gain = axes.twinx()
    gain.plot(by_rank.index, by_rank["sum"].cumsum(), color="#c44e52", marker="o", markersize=3)
    gain.set_ylabel("hits up to this rank (line)")
    gain.set_ylim(bottom=0)
    return figure


def _ratings(predictions: pd.DataFrame, title: str) -> Figure:
    figure, axes = make_figure(title, "rating given", "rating predicted")
    given = np.sort(predictions[c.LABEL].unique())
    groups = [predictions.loc[predictions[c.LABEL] == rating, c.PREDICTION] for rating in given]
    axes.boxplot(groups, positions=given, widths=0.5, showfliers=False, manage_ticks=False)
    axes.plot(given[[0, -1]], given[[0, -1]], color="#999999", linestyle="--", label="perfect")
    axes.legend()
    return figure


def _roc(predictions: pd.DataFrame, title: str) -> Figure:
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(predictions[c.LABEL], predictions[c.PREDICTION])
    figure, axes = make_figure(title, "false positive rate", "true positive rate")
    axes.plot(false, true, color="#4c72b0", label="model")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle="--", label="chance")
    axes.legend()
    return figure


def _calibration(predictions: pd.DataFrame, title: str) -> Figure:
    place = bin_rows(predictions[c.PREDICTION].to_numpy(np.float64))
    means = predictions[[c.PREDICTION, c.LABEL]].groupby(place).mean().to_numpy(np.float64)
    figure, axes = make_figure(title, "predicted probability (mean of a tenth)", "share in which it came true")
    axes.plot(means[:, 0], means[:, 1], color="#4c72b0", marker="o", label="model")
    axes.plot([0, means.max()], [0, means.max()], color="#999999", linestyle="--", label="perfect")
    axes.legend()
    return figure


PLOTS: dict[str, Callable[[pd.DataFrame, str], Figure]] = {
    "precision_by_rank": _by_rank,
    "predicted_and_given": _ratings,
    "roc": _roc,
    CALIBRATION: _calibration,
}


def draw_history(tuned: Tuned, title: str) -> Figure:
    """Each trial's figure in the order of trials, and the best so far."""
    figure, axes = make_figure(f"{title}, tuning", "trial", f"{tuned.metric}, mean of its rounds")
    looks = {
        TrialState.COMPLETE: ("o", "#4c72b0", "completed all rounds"),
        TrialState.PRUNED: ("x", "#999999", "pruned, so far"),
    }
    for state, (marker, color, label) in looks.items():
        found = [trial for trial in tuned.trials if trial.state is state]
        if found:
            numbers, values = [trial.number + 1 for trial in found], [trial.value for trial in found]
            axes.scatter(numbers, values, zorder=3, marker=marker, color=color, label=label)
    complete = [trial for trial in tuned.trials if trial.state is TrialState.COMPLETE]
    if complete:
        best = next(trial for trial in complete if trial.settings == tuned.settings)
        better = max if best.value >= complete[0].value else min
        so_far = list(accumulate((trial.value for trial in complete), better))
        ends = [*(trial.number + 1 for trial in complete), len(tuned.trials)]
        axes.step(ends, [*so_far, so_far[-1]], where="post", color="#c44e52", label="best so far")
        axes.annotate("the YAML's", (1, complete[0].value), xytext=(6, -12), textcoords="offset points", fontsize=8)
    axes.locator_params(axis="x", integer=True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    return figure


def make_figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # without pyplot there is no backend and no global state

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes
