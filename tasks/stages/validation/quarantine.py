"""Rows in quarantine, and windows whose newest delivery is not in use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.base import Contract
from tasks.contracts.data import DatasetRef, RuleResult, Severity, ValidationReport
from tasks.errors import SnapshotError
from tasks.io.storage import Storage

if TYPE_CHECKING:
    import pandas as pd


class Refused(Contract):
    """A window whose newest delivery was refused or has not been judged."""

    raw: DatasetRef
    validated: DatasetRef | None
    reasons: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        uses = f"features still use {self.validated.key}, which was validated before" if self.validated else "no rows are used"
        return f"{self.raw.partition}: the newest delivery ({self.raw.key}) is not in use: {'; '.join(self.reasons)}; {uses}"


def find_refused(use_case: str, storage: Storage) -> list[Refused]:
    """Windows whose features do not come from the newest raw snapshot, oldest first."""
    found = []
    for partition in storage.partitions(use_case, c.RAW):
        raw, validated = (storage.current(use_case, layer, partition) for layer in (c.RAW, c.VALIDATED))
        if raw is None or (validated is not None and storage.manifest(validated)["inputs"] == [raw.to_json()]):
            continue
        report = read_report(use_case, partition, storage)
        if report is None or report.dataset != raw:
            reasons: tuple[str, ...] = ("it has not been judged yet",)
        else:
            stopping = [result for result in report.broken if result.severity is not Severity.WARN]
            reasons = (f"{report.rows_quarantined} of {report.rows_in} rows broke {', '.join(r.rule for r in stopping)}",)
        found.append(Refused(raw=raw, validated=validated, reasons=reasons))
    return found


def read_report(use_case: str, partition: str, storage: Storage) -> ValidationReport | None:
    """The report of a window's current quarantine."""
    ref = storage.current(use_case, c.QUARANTINE, partition)
    return None if ref is None else ValidationReport.from_json(storage.manifest(ref)["facts"]["report"])


def read_quarantine(use_case: str, storage: Storage, partition: str | None = None, rule: str | None = None) -> pd.DataFrame:
    """Rows in quarantine: `window`, `row_id`, `source_file`, `ingested_at`, `as_it_came`, `broken_rules`, `run`.

    Parameters
    ----------
    partition : one window only. rule : only rows that broke it.
    """
    import pandas as pd

    frames = []
    for name in [partition] if partition else storage.partitions(use_case, c.QUARANTINE):
        ref = storage.current(use_case, c.QUARANTINE, name)
        if ref is None:
            newest = ", ".join(storage.partitions(use_case, c.QUARANTINE)[-5:]) or "none"
            raise SnapshotError(f"{use_case}: no quarantine of window {name!r}; the newest are: {newest}")
        if ref.rows[c.ROWS]:
            run = storage.manifest(ref).get("made", {}).get("run", "")
            frames.append(storage.read(ref).assign(window=name, run=run))
    columns = ["window", c.ROW_ID, c.SOURCE_FILE, c.INGESTED_AT, c.AS_IT_CAME, c.BROKEN_RULES, "run"]
    if not frames:
        return pd.DataFrame(columns=columns)
    rows = pd.concat(frames, ignore_index=True)[columns]
    if rule is not None:
        rows = rows[rows[c.BROKEN_RULES].str.split(", ").map(lambda rules: rule in rules)]
    return rows.sort_values(["window", c.ROW_ID], ignore_index=True)


def explain_row(use_case: str, row_id: str, storage: Storage) -> tuple[dict[str, Any], list[RuleResult], dict[str, str]]:
    """One row in quarantine: its origin, the rules that it broke, and its original cells.

    Raises
    ------
    SnapshotError : no current quarantine has the row.
    """
    rows = read_quarantine(use_case, storage)
    mine = rows[rows[c.ROW_ID] == row_id]
    if mine.empty:
        raise SnapshotError(
            f"{use_case}: no row {row_id!r} in quarantine; `titleholder quarantine show {use_case}` lists the rows"
        )
    row = {str(name): value for name, value in mine.iloc[-1].items()}
    report = read_report(use_case, str(row["window"]), storage)
    names = str(row[c.BROKEN_RULES]).split(", ")
    rules = [result for result in report.rules if result.rule in names] if report else []
    cells: dict[str, str] = json.loads(str(row[c.AS_IT_CAME]))
    return row, rules, cells
