"""Years of monitoring alone: generated shops without change, through the real checks and the real controller, in memory."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from benchmarks.monitoring.retail_year import read_lines
from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.monitoring import DriftReport, RetrainDecision
from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.settings import ROOT
from tasks.stages.ingestion.generator import generate_invoices
from tasks.stages.ingestion.worlds import make_world
from tasks.stages.monitoring.decision import RetrainHistory, decide_retrain
from tasks.stages.monitoring.evidence import ComparedRows, gather
from tasks.stages.monitoring.judging import judge
from tasks.use_case import load_use_case

SHOPS = ("calm", "small_shop", "closed_weekends")
START = date(2011, 3, 7)


def count_false_retrains(shop: str, seed: int, window_days: int, days: int) -> int:
    """The retrain requests in so many days of a shop whose champion never changes."""
    case = load_use_case("purchase_propensity", ROOT / "conf" / "use_cases")
    world = make_world(shop, START, seed)
    first = START - timedelta(days=case.drift.reference_days)
    with tempfile.TemporaryDirectory() as folder:
        generate_invoices(Path(folder), first, START + timedelta(days=days), seed, world.knobs)
        lines = read_lines(Path(folder))
    days_of = lines[c.EVENT_AT].dt.date
    reference = lines[days_of < START].reset_index(drop=True)
    past: list[RetrainDecision] = []
    previous = reference[reference[c.EVENT_AT].dt.date >= START - timedelta(days=window_days)]
    known_until = START
    for step in range(days // window_days):
        window = Window(start=START + timedelta(days=step * window_days), end=START + timedelta(days=(step + 1) * window_days))
        rows = lines[(days_of >= window.start) & (days_of < window.end)].reset_index(drop=True)
        if rows.empty:
            continue
        compared = ComparedRows(window, {"rows": reference}, {"rows": rows}, previous, known_until)
        checks = [check for check in case.drift.checks if check.kind != "prediction_drift"]
        results = judge(checks, gather(checks, compared, seed=case.seed))
        report = DriftReport(
            use_case=case.name,
            window=window,
            reference="",
            current_rows=len(rows),
            reference_rows=len(reference),
            checks=results,
            violated=any(one.violated for one in results),
            report_uri="",
            run_id="",
        )
        history = RetrainHistory(past, _champion(), START)
        past.append(decide_retrain(case.name, case.drift.retrain_when, window, report, history))
        previous, known_until = rows, window.end
    return sum(one.retrain for one in past)


def _champion() -> LedgerEntry:
    empty = "0" * 64
    return LedgerEntry(
        sequence=1,
        use_case="purchase_propensity",
        action=Action.PROMOTE,
        version=1,
        previous_version=None,
        manifest_digest=empty,
        data_digest=empty,
        report_digest=empty,
        code_version="",
        actor="bench",
        trust=Trust.POLICY,
        reason="",
        dag_run="",
        at=pd.Timestamp(START, tz="UTC").to_pydatetime(),
        entry_digest=empty,
        previous_digest=empty,
    )
