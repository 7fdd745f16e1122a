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
from tasks.stages.monitoring.windows import USUAL_DAYS
from tasks.use_case import load_use_case

SHOPS = ("calm", "small_shop", "closed_weekends")
START = date(2011, 3, 7)
USUAL = timedelta(USUAL_DAYS)


def count_false_retrains(shop: str, seed: int, window_days: int, days: int) -> int:
    """The retrain requests in so many days of a shop. Each makes a champion that has learned everything by then."""
    case = load_use_case("purchase_propensity", ROOT / "conf" / "use_cases")
    world = make_world(shop, START, seed)
    first = START - timedelta(days=case.drift.reference_days)
    with tempfile.TemporaryDirectory() as folder:
        generate_invoices(Path(folder), first, START + timedelta(days=days), seed, world.knobs)
        lines = read_lines(Path(folder))
    learned, version = START, 1
    past: list[RetrainDecision] = []
    previous = _between(lines, START - timedelta(days=window_days), START)
    known_until = START
    for step in range(days // window_days):
        window = Window(start=START + timedelta(days=step * window_days), end=START + timedelta(days=(step + 1) * window_days))
        rows = _between(lines, window.start, window.end)
        if rows.empty:
            continue
        reference = _between(lines, learned - timedelta(days=case.drift.reference_days), learned)
        span = Window.before(window.end, max(window_days, case.drift.current_days or window_days))
        compared = ComparedRows(
            window,
            {"rows": reference},
            {"rows": _between(lines, span.start, span.end)},
            span=span,
            own=rows,
            before=_between(lines, window.start - USUAL, window.start),
            previous=previous,
            known_until=known_until,
            calendar=case.calendar,
        )
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
        history = RetrainHistory(past, _champion(version), learned)
        past.append(decide_retrain(case.name, case.drift.retrain_when, window, report, history))
        if past[-1].retrain:
            learned, version = window.end, version + 1
        previous, known_until = rows, window.end
    return sum(one.retrain for one in past)


def _between(lines: pd.DataFrame, start: date, end: date) -> pd.DataFrame:
    """The lines of the days from `start` to before `end`."""
    first, last = pd.Timestamp(start, tz="UTC"), pd.Timestamp(end, tz="UTC")
    return lines[(lines[c.EVENT_AT] >= first) & (lines[c.EVENT_AT] < last)].reset_index(drop=True)


def _champion(version: int) -> LedgerEntry:
    empty = "0" * 64
    return LedgerEntry(
        sequence=version,
        use_case="purchase_propensity",
        action=Action.PROMOTE,
        version=version,
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
