"""The report of a backtest: one page, the same as JSON, and one MLflow run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tasks.backtest.figures import Report, make_report
from tasks.backtest.page import draw_page
from tasks.backtest.plan import read_plan
from tasks.io import tracking
from tasks.io.storage import write_atomically

PAGE, DOCUMENT = "report.html", "report.json"


def write_report(folder: Path) -> str:
    """Write `report.html` and `report.json` into the folder of a backtest, and log both as an MLflow run.

    Returns
    -------
    The address of the page in MLflow.
    """
    plan = read_plan(folder)
    report = make_report(folder, plan)
    text = json.dumps(report.to_json(), indent=1)
    page = draw_page(report)
    write_atomically(folder / DOCUMENT, text)
    write_atomically(folder / PAGE, page)
    return _log_run(report, folder, text)


def _log_run(report: Report, folder: Path, text: str) -> str:
    plan = report.plan
    key = f"backtest-{hashlib.sha256(text.encode()).hexdigest()}"
    experiment = f"{plan.use_case}.backtest"
    if (finished := tracking.find_finished_run(experiment, key)) is not None:
        return tracking.artifact_page(finished.info.run_id, experiment, PAGE)
    name = f"{plan.start} to {plan.end}" + (f", world {plan.world}" if plan.world else "")
    with tracking.start_run(experiment, name, key, {"titleholder.backtest": str(folder)}) as run:
        run.log_params({"start": plan.start, "end": plan.end, "world": plan.world or "none", "seed": plan.seed})
        figures: dict[str, float] = {}
        for one in report.policies:
            figures |= {f"{one.name}.promotions": float(one.promotions), f"{one.name}.minutes": one.minutes}
            if one.quality is not None:
                figures[f"{one.name}.{report.metric}"] = one.quality.value
        run.log_metrics(figures)
        run.log_artifact(folder / PAGE)
        run.log_artifact(folder / DOCUMENT)
    return tracking.artifact_page(run.run_id, experiment, PAGE)
