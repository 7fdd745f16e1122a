"""Every kind of model on published tasks, and its speed beside the libraries.

Settings are chosen on a validation part of the training data. The test data are used once, by the chosen settings. After each
part the results are drawn as quality over cost, and logged to MLflow: to the address of the settings if the environment names
one, else to a store beside the result file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.models.data import Size
from benchmarks.models.incremental import MEANING as INCREMENTAL
from benchmarks.models.incremental import draw_weeks, measure_incremental
from benchmarks.models.lists import Row, measure_lists, measure_oracle, measure_retail
from benchmarks.models.scores import measure_ratings, measure_tabular
from benchmarks.models.speed import measure_memory, measure_speed
from benchmarks.runner import Benchmark, Figures, Part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENT = "benchmark_models"
MEANING = {
    "u1_rmse_ids": "MovieLens 100K, u1.base -> u1.test, RMSE from ids and from who rated what; published 0.9049",
    "u1_rmse_attributes": "the same with attributes and the day of the rating; published 0.8831",
    "surprise_rmse": "MovieLens 100K, mean RMSE of Surprise's five random folds; published 0.8781",
    "ratings_table": "ratings: the settings that validation chose for each figure, and published results",
    "rec_ndcg_at_10": "recommenders split, nDCG@10 of the model that validation chose; published EASE 0.4855",
    "rec_map_at_10": "the same, MAP@10; published EASE 0.1505",
    "recommenders_table": "recommenders split: every model with its 95 % interval of nDCG@10 over users, and published results",
    "retail_ndcg_at_10": "Online Retail, bought in the 28 days after one cut in time, of the model that validation chose",
    "retail_table": "Online Retail: every model with its 95 % interval of nDCG@10 over users, and its costs",
    "oracle_share": "generated shop: nDCG@10 of the model that validation chose over the best that its invoices allow",
    "oracle_share_of_truth": "the same over the truth, which also knows the wishes of customers who never bought",
    "generated_table": "generated shop: every model with its 95 % interval, the best reachable, and the truth",
    "bc_precision": "breast cancer, malignant, ten stratified folds; the lecture 0.930",
    "bc_recall": "the same; the lecture 0.859",
    "breast_cancer_table": "breast cancer: every classifier, the 95 % interval of its accuracy, and its costs",
    "overfitting_table": "breast cancer: accuracy on the fitted rows and on a fifth kept apart; 1: the curve is flagged",
    "ials_ratio": "seconds of fitting ials over the implicit library called directly, both from the same table of pairs",
    "ease_ratio": "seconds of fitting ease over NumPy and SciPy called directly, both from the same table of pairs",
    "topk_ratio": "seconds of the top 10 of all users, names and scores, over implicit's own top-k, from the same vectors",
    "batch_ratio": "users a second of our top 10 over Spark ALS's recommendForAllUsers, equal k and factors",
    "speed_table": "seconds, median of the rounds, ours and theirs in turn",
    "memory_mb": "peak of a fresh process that makes ten million interactions and trains ials on them",
}
PANELS = {
    "recommenders_table": "ndcg_at_10",
    "retail_table": "ndcg_at_10",
    "generated_table": "ndcg_at_10",
    "ratings_table": "rmse",
    "breast_cancer_table": "accuracy",
}
NOT_DRAWN = "prior"  # a constant, so far below that the other points would lie on one line


def draw_quality(found: Figures) -> Figure | None:
    """Quality against cost: each model of each table with its interval, and the seconds that it takes to fit; up is better."""
    from matplotlib.figure import Figure

    names = [name for name in PANELS if name in found]
    if not names:
        return None
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(7.0 * columns, 4.6 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(places, names, strict=False):
        metric = PANELS[name]
        fitted: dict[str, Row] = {
            kind: row for kind, row in found[name].items() if "fit_seconds" in row and "low" in row and kind != NOT_DRAWN
        }
        by_gain = sorted(fitted, key=lambda kind: fitted[kind][metric])
        for place, kind in enumerate(by_gain):
            row = fitted[kind]
            around = [[row[metric] - row["low"]], [row["high"] - row[metric]]]
            at = max(row["fit_seconds"], 1e-3)
            axes.errorbar(at, row[metric], yerr=around, marker="o", color="#4c72b0", capsize=3, alpha=0.8)
            left = place % 2 == 1
            axes.annotate(
                kind,
                (at, row[metric]),
                xytext=(-6 if left else 6, 3),
                textcoords="offset points",
                ha="right" if left else "left",
                fontsize=8,
            )
        for kind in ("reachable", "truth"):
            if kind in found[name]:
                axes.axhline(found[name][kind][metric], color="#c44e52", linestyle="--", linewidth=1)
                axes.annotate(kind, (0.02, found[name][kind][metric]), xycoords=("axes fraction", "data"), fontsize=8)
        if metric == "rmse":
            axes.invert_yaxis()
        axes.set(title=name.removesuffix("_table").replace("_", " "), xlabel="seconds to fit", xscale="log")
        axes.set_ylabel(f"{metric} and 95 % interval")
        axes.margins(x=0.4)
        axes.grid(alpha=0.3)
    return figure


def publish(part: str, figures: Figures, document: Figures, path: Path) -> None:
    """Draw all results, and log the part to MLflow with a run for each measured row."""
    from tasks.io import tracking
    from tasks.settings import get_settings

    if shown := draw_quality(document):
        shown.savefig(path.with_suffix(".png"), dpi=110)
    if part == "incremental":
        draw_weeks(figures, path.with_name("incremental.png"))
    if "TITLEHOLDER_MLFLOW_TRACKING_URI" not in os.environ:
        os.environ["TITLEHOLDER_MLFLOW_TRACKING_URI"] = f"sqlite:///{(path.parent / 'mlflow.db').resolve()}"
        get_settings.cache_clear()
        client = tracking.get_client()
        if client.get_experiment_by_name(EXPERIMENT) is None:
            client.create_experiment(EXPERIMENT, artifact_location=(path.parent / "mlflow").resolve().as_uri())
    tables: dict[str, dict[str, Row]] = {name: rows for name, rows in figures.items() if isinstance(rows, dict)}
    with tracking.start_run(EXPERIMENT, part, part, {}) as run:
        run.log_metrics({name: value for name, value in figures.items() if name not in tables})
        for name, rows in tables.items():
            run.log_dict(rows, f"{name}.json")
        if shown := draw_quality(tables):
            run.log_figure(shown, "plots/quality_and_cost.png")
        for name, rows in tables.items():
            for kind, row in rows.items():
                measured = {key: value for key, value in row.items() if isinstance(value, int | float)}
                if "fit_seconds" in measured:
                    with tracking.start_run(EXPERIMENT, kind, f"{part}/{kind}", {"mlflow.parentRunId": run.run_id}) as one:
                        one.log_metrics(measured)
                        one.log_params({"kind": kind, "table": name, "settings": row.get("settings", "")})


BENCHMARK = Benchmark(
    name="models",
    parts={
        "lists": Part(measure_lists, starts=("jvm",)),
        "tabular": Part(measure_tabular, starts=("jvm",)),
        "speed": Part(measure_speed, starts=("jvm",)),
        "memory": Part(measure_memory),
        "ratings": Part(measure_ratings, starts=("jvm",)),
        "retail": Part(measure_retail, starts=("jvm",)),
        "oracle": Part(measure_oracle, starts=("jvm",)),
        "incremental": Part(measure_incremental),
    },
    full=Size(),
    smallest=Size(
        generated=True,
        generated_days=100,
        kinds=("popularity", "item_knn"),
        classifiers=("prior", "logistic_regression"),
        rating_tables=("bias", "u1_rmse_attributes"),
        chains=1,
        iterations=5,
        folds=1,
        stratified_folds=2,
        oracle_steps=80,
        weeks=2,
        rounds=1,
        speed_shape=(60, 40, 600),
        memory_shape=(200, 40, 2_000),
    ),
    meaning={**MEANING, **INCREMENTAL},
    publish=publish,
)
