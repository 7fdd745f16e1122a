"""Twelve months of the real Online Retail files, week by week, through the real checks and the real controller.

`python -m benchmarks.monitoring.retail_year <folder of daily files> [week ...]` writes docs/images/monitoring-year.png and
prints each decision. The numbers are the weeks whose unusual data a person has accepted.
Rows are cleaned as by the suite invoice_lines, in a few lines of pandas, because a year through Great Expectations takes long.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import pandas as pd

from benchmarks.monitoring.year import Year, week_of
from tasks import columns as c
from tasks.contracts.base import Window
from tasks.settings import ROOT
from tasks.stages.monitoring.checks import CHECKS
from tasks.stages.monitoring.decision import RetrainPolicy
from tasks.stages.monitoring.plots import plot_history

FIRST = date(2010, 12, 6)  # a Monday
NUMBERS = [c.UNIT_PRICE, c.QUANTITY]
CHECK_LIST = [
    CHECKS.parse(entry, "here")
    for entry in (
        {
            "kind": "column_drift",
            "columns": [c.UNIT_PRICE, c.QUANTITY, c.ITEM_ID, c.SEGMENT],
            "method": "jensenshannon",
            "threshold": 0.15,
            "thresholds": {c.ITEM_ID: 0.25},
        },
        {"kind": "label_drift", "column": c.VALUE, "method": "jensenshannon", "threshold": 0.15},
        {"kind": "unit_change", "columns": NUMBERS},
        {"kind": "missing_values", "columns": [*NUMBERS, c.USER_ID]},
        {"kind": "missing_days"},
        {"kind": "volume"},
        {"kind": "doubled_rows"},
        {"kind": "frozen_rows"},
    )
]
POLICY = RetrainPolicy(violations=2, of_last=3, cooldown_days=14, at_most_per_week=1, max_age_days=120)


def read_lines(folder: Path) -> pd.DataFrame:
    """All clean lines of purchases and returns, with canonical names."""
    parts = [pd.read_csv(path, dtype=str).assign(**{c.SOURCE_FILE: path.name}) for path in sorted(folder.glob("*.csv"))]
    raw = pd.concat(parts, ignore_index=True)
    quantity, price = (pd.to_numeric(raw[name], errors="coerce") for name in ("Quantity", "UnitPrice"))
    is_return = raw["InvoiceNo"].str.upper().str.startswith("C")
    lines = pd.DataFrame(
        {
            c.ROW_ID: raw[c.SOURCE_FILE] + ":" + raw.groupby(c.SOURCE_FILE).cumcount().astype(str),
            c.EVENT_AT: pd.to_datetime(raw["InvoiceDate"], utc=True, errors="coerce"),
            c.EVENT_ID: raw["InvoiceNo"],
            c.USER_ID: raw["CustomerID"].str.removesuffix(".0"),
            c.ITEM_ID: raw["StockCode"].str.upper(),
            c.QUANTITY: quantity,
            c.UNIT_PRICE: price,
            c.VALUE: quantity * price,
            c.SEGMENT: raw["Country"],
        }
    )
    is_clean = (price > 0) & quantity.notna() & ((quantity < 0) == is_return) & lines[c.EVENT_AT].notna()
    return lines[is_clean].reset_index(drop=True)


def monitor_year(folder: Path, accepted: frozenset[int] = frozenset()) -> Year:
    """Monitor every week of the files, and print each decision."""
    lines = read_lines(folder)
    days = lines[c.EVENT_AT].dt.date
    last = (days.max() - FIRST).days // 7
    weeks = {n: lines[(days >= week_of(FIRST, n).start) & (days < week_of(FIRST, n).end)] for n in range(last)}
    weeks = {n: rows.reset_index(drop=True) for n, rows in weeks.items()}
    year = Year(FIRST, CHECK_LIST, POLICY)
    year.weeks |= {n: rows for n, rows in weeks.items() if n < year.learned}
    for number in range(year.learned, last):
        rows = weeks[number]
        known = set(pd.concat([year.weeks[n] for n in range(number) if n < year.learned])[c.USER_ID].dropna())
        buyers = set(rows[c.USER_ID].dropna())
        trading_days = max(1, rows[c.EVENT_AT].dt.date.nunique())
        figures = {
            "lines_per_day": len(rows) / trading_days,
            "sales_per_day": float(rows[c.VALUE].sum()) / trading_days,
            "cold_share": len(buyers - known) / max(1, len(buyers)),
        }
        window: Window = week_of(FIRST, number)
        decision = year.monitor_week(number, rows, figures, "the shop" if number in accepted else "")
        outcome = "RETRAIN" if decision.retrain else "no"
        print(f"{number} {window.label} {outcome} {decision.cause}: {decision.reason}", flush=True)
    return year


def main() -> None:
    """Monitor the year and draw it."""
    year = monitor_year(Path(sys.argv[1]), frozenset(int(number) for number in sys.argv[2:]))
    plot_history(year.reports, year.past).savefig(ROOT / "docs" / "images" / "monitoring-year.png", dpi=90)


if __name__ == "__main__":
    main()
