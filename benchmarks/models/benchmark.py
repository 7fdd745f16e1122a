"""The shelf on published tasks, and its speed beside the libraries': `python -m benchmarks.models.models [section ...]`.

Settings come from a validation part of the training data; a test file is opened once, by what validation chose. Figures are
written to build/bench/models.json as each section ends, with the tables, drawn as quality against cost, and logged to MLflow:
to the address of the settings if the environment names one, else to a store in build/bench.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.models.lists import Outcome, Row, lists, oracle, retail
from benchmarks.models.scores import ratings, tabular
from benchmarks.models.speed import memory, speed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = Path("build") / "bench" / "models.json"
EXPERIMENT = "benchmark_models"
MEANING = {
    "u1_rmse_ids": "MovieLens 100K, u1.base -> u1.test, RMSE from ids and who rated what alone; published 0.9049",
    "u1_rmse_attributes": "the same with attributes and the day of the rating; published 0.8831",
    "surprise_rmse": "MovieLens 100K, mean RMSE of Surprise's five random folds; published 0.8781",
    "ratings_table": "ratings: what validation chose for each figure, and what is published",
    "rec_ndcg_at_10": "recommenders split, nDCG@10 of the model that validation chose; published EASE 0.4855",
    "rec_map_at_10": "the same, MAP@10; published EASE 0.1505",
    "recommenders_table": "recommenders split: every model with its 95 % interval of nDCG@10 over users, and what is published",
    "retail_ndcg_at_10": "Online Retail, bought in the 28 days after one cut in time, of the model that validation chose",
    "retail_table": "Online Retail: every model with its 95 % interval of nDCG@10 over users, and what it costs",
    "oracle_share": "generated shop: nDCG@10 of the model that validation chose over the best that its invoices allow",
    "oracle_share_of_truth": "the same over the truth, which also knows the wishes of customers who never bought",
    "generated_table": "generated shop: every model with its 95 % interval, the best reachable, and the truth",
    "bc_precision": "breast cancer, malignant, ten stratified folds; the lecture 0.930",
    "bc_recall": "the same; the lecture 0.859",
    "breast_cancer_table": "breast cancer: every classifier, the 95 % interval of its accuracy, and what it costs",
    "by_heart_table": "breast cancer: accuracy on what was learned from and on a fifth kept apart; 1: the curve is flagged",
    "ials_ratio": "seconds of fitting ials over the implicit library called directly, both from the same table of pairs",
    "ease_ratio": "seconds of fitting ease over NumPy and SciPy called directly, both from the same table of pairs",
    "topk_ratio": "seconds of the top 10 of all users, names and scores, over implicit's own top-k, from the same vectors",
    "batch_ratio": "users a second of our top 10 over Spark ALS's recommendForAllUsers as it comes, equal k and factors",
    "speed_table": "seconds, median of the rounds, ours and theirs in turn",
    "memory_mb": "peak of a fresh process that makes ten million interactions and trains ials on them",
    "seconds_table": "seconds that each section took",
}
SECTIONS: dict[str, Callable[[], Outcome]] = {
    "lists": lists,
    "tabular": tabular,
    "speed": speed,
    "memory": memory,
    "ratings": ratings,
    "retail": retail,
    "oracle": oracle,
}


def measure(sections: Iterable[str] = tuple(SECTIONS)) -> dict[str, Any]:
    """Run the sections; each is written as it ends, so that a long run that is stopped leaves what it found."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    for section in sections:
        began = time.perf_counter()
        figures, tables = SECTIONS[section]()
        found |= {**figures, **tables}
        found["seconds_table"] = {**found.get("seconds_table", {}), section: {"seconds": time.perf_counter() - began}}
        FILE.write_text(json.dumps(found, indent=1, default=float))
        print(section, json.dumps(figures), flush=True)
        log_to_mlflow(section, figures, tables)
    if shown := draw(found):
        shown.savefig(FILE.with_suffix(".png"), dpi=110)
    return {name: found[name] for name in MEANING if name in found}


PANELS = {
    "recommenders_table": "ndcg_at_10",
    "retail_table": "ndcg_at_10",
    "generated_table": "ndcg_at_10",
    "ratings_table": "rmse",
    "breast_cancer_table": "accuracy",
}
NOT_DRAWN = "prior"  # it always says the same, so far below that the others would lie on one line


def draw(found: dict[str, Any]) -> Figure | None:
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


def log_to_mlflow(section: str, figures: dict[str, float], tables: dict[str, dict[str, Row]]) -> None:
    """A run for the section with its figures, tables and plot, and one below it for each row that was measured."""
    from tasks.io import tracking
    from tasks.settings import get_settings

    if "TITLEHOLDER_MLFLOW_TRACKING_URI" not in os.environ:
        os.environ["TITLEHOLDER_MLFLOW_TRACKING_URI"] = f"sqlite:///{(FILE.parent / 'mlflow.db').resolve()}"
        get_settings.cache_clear()
        client = tracking.get_client()
        if client.get_experiment_by_name(EXPERIMENT) is None:
            client.create_experiment(EXPERIMENT, artifact_location=(FILE.parent / "mlflow").resolve().as_uri())
    with tracking.start_run(EXPERIMENT, section, section, {}) as run:
        run.log_metrics(figures)
        for name, rows in tables.items():
            run.log_dict(rows, f"{name}.json")
        if shown := draw(tables):
            run.log_figure(shown, "plots/quality_and_cost.png")
        for name, rows in tables.items():
            for kind, row in rows.items():
                measured = {key: value for key, value in row.items() if isinstance(value, int | float)}
                if "fit_seconds" in measured:
                    with tracking.start_run(EXPERIMENT, kind, f"{section}/{kind}", {"mlflow.parentRunId": run.run_id}) as one:
                        one.log_metrics(measured)
                        one.log_params({"kind": kind, "table": name, "settings": row.get("settings", "")})


if __name__ == "__main__":
    for name, value in measure(sys.argv[1:] or SECTIONS).items():
        if not isinstance(value, dict):
            print(f"{name:20} {value:10.4g}  {MEANING[name]}")
