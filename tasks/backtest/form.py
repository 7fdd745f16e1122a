"""A backtest by the form of Airflow."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.backtest import Options, default_folder, make_plan, run_backtest
from tasks.jobs.windows import parse_day
from tasks.settings import get_settings

_log = logging.getLogger(__name__)
FORM_POLICY = "changed"  # the name of the policy that the form states


def replay_form(use_case: str, form: Mapping[str, Any], *, endpoint_command: Sequence[str]) -> str:
    """Run the backtest of a form, and return the address of its report in MLflow. A second try goes on with the first.

    Parameters
    ----------
    form : `start` and `end` as YYYY-MM-DD, `policy` (the text of a use-case file, or empty), `world`, `seed`, `window_days`,
        `history_days`, `answer_days`.

    Raises
    ------
    ConfigurationError : the form is wrong.
    BacktestFailed : a policy's process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        others = []
        if form["policy"].strip():
            others = [Path(folder) / f"{FORM_POLICY}.yaml"]
            others[0].write_text(form["policy"])
        options = Options(
            others=others,
            world=form["world"] or "",
            seed=form["seed"],
            window_days=form["window_days"],
            history_days=form["history_days"],
            answer_days=form["answer_days"],
        )
        plan, texts = make_plan(use_case, parse_day(form["start"], "start"), parse_day(form["end"], "end"), options)
    done = run_backtest(
        default_folder(plan),
        plan,
        texts,
        endpoint_command=endpoint_command,
        tell=lambda line: _log.info("%s", line),
        tracking_uri=get_settings().mlflow_tracking_uri,
    )
    _log.info("the report: %s", done.page)
    return done.address
