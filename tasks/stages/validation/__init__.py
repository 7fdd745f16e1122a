"""The stage of validation: a raw snapshot -> validated rows, quarantined rows, and a report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.code_version import digest_modules
from tasks.contracts.calendar import UTC_ZONE
from tasks.contracts.data import DatasetRef, RuleResult, Severity, Validated, ValidationReport
from tasks.errors import ConfigurationError, SnapshotError, ValidationFailed
from tasks.guards import guard
from tasks.io.storage import Storage, Writer
from tasks.stages.validation.computed import OF_THE_PAST
from tasks.stages.validation.docs import docs_page, publish_docs, write_docs
from tasks.stages.validation.past import read_past
from tasks.stages.validation.quarantine import Refused, find_refused
from tasks.stages.validation.suite import load_suite, rules_of_cells

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Refused", "docs_page", "find_refused", "publish_docs", "validate"]


@guard(ConfigurationError, ValidationFailed)
def validate(
    raw: DatasetRef,
    suite: str,
    tolerance: float,
    storage: Storage,
    suites: Path,
    docs: Path | None = None,
    *,
    zone: ZoneInfo = UTC_ZONE,
) -> Validated:
    """Judge every row of a raw snapshot. Publish the good rows as `validated` and the others as `quarantine`.

    The quarantine has each row that broke a row rule: its id, its file, its original cells and the names of all rules that it
    broke. The manifest has the report and the run. The quarantine is also published when the run stops, and when it is empty.
    The same rows, suite, tolerance and past give the same snapshots and are not judged again.

    When the run stops, rows of this window that were validated before stay current, because the last valid delivery is better
    than none. The error reports it, and so does `find_refused` until a delivery passes.

    Parameters
    ----------
    suite : name of a file in the folder `suites`, without `.yaml`.
    tolerance : share of rows, 0 to 1, that may go to quarantine.
    zone : whose days the windows are of.
    docs : folder for the page of each validation (see `docs_page`). None: no page is written.

    Raises
    ------
    ValidationFailed : a batch rule is broken, or more rows than the tolerance are. Nothing is published as validated.
    ConfigurationError : the suite is missing, wrong, or does not fit the data.
    """
    declared = load_suite(suite, suites)
    judged = declared.with_rules(rules_of_cells(storage.manifest(raw).get("figures", {}).get("cells", {})))
    terms = {"suite": suite, "suite_digest": declared.digest, "tolerance": tolerance, "code": digest_modules(__name__)}
    past = read_past(raw, storage, zone)
    compared = {"past": past.versions} if declared.parameter_names or declared.columns & OF_THE_PAST else {}
    quarantine = _find(raw, c.QUARANTINE, {**terms, **compared}, storage)
    validated = _find(raw, c.VALIDATED, terms, storage)
    if quarantine is not None:
        report = ValidationReport.from_json(storage.manifest(quarantine)["facts"]["report"])
        _stop_if_broken(report, quarantine, storage)
        if validated is not None:
            return Validated(validated=validated, quarantine=quarantine, report=report)

    from tasks.io.spark import spark_for
    from tasks.stages.validation.checks import check_rules, split_rows
    from tasks.stages.validation.computed import add_rule_columns
    from tasks.stages.validation.parameters import compute_parameters

    with spark_for(raw.rows[c.ROWS] + past.count) as spark:
        rows = spark.read.parquet(str(storage.table(raw)))
        frame = add_rule_columns(rows, past.window, past, declared.columns)
        rows = rows.drop(c.LOST_CELLS)  # null in all validated rows
        parameters = compute_parameters(declared.parameter_names, past, spark)
        publish = partial(storage.publish, use_case=raw.use_case, partition=raw.partition, inputs=[raw])
        with check_rules(frame, judged, raw.rows[c.ROWS], parameters) as found:
            report = _report(raw, suite, tolerance, found.results, found.quarantined)
            good, bad = split_rows(rows, found)
            quarantine = publish(
                layer=c.QUARANTINE,
                tables={c.ROWS: _write_exactly(bad, report.rows_quarantined)},
                facts={**terms, **compared, "report": report.to_json()},
            )
            if docs is not None:
                write_docs(found.document(), report, docs_page(docs, quarantine))
            _stop_if_broken(report, quarantine, storage)
            tables = {c.ROWS: _write_exactly(good, report.rows_validated)}
            validated = publish(layer=c.VALIDATED, tables=tables, facts=terms)
    return Validated(validated=validated, quarantine=quarantine, report=report)


def _find(raw: DatasetRef, layer: str, terms: dict[str, Any], storage: Storage) -> DatasetRef | None:
    """The partition's snapshot of a layer, if it was made from this raw snapshot with these terms."""
    current = storage.current(raw.use_case, layer, raw.partition)
    if current is None:
        return None
    manifest = storage.manifest(current)
    same_terms = all(manifest["facts"].get(key) == value for key, value in terms.items())
    return current if same_terms and manifest["inputs"] == [raw.to_json()] else None


def _report(
    raw: DatasetRef, suite: str, tolerance: float, results: tuple[RuleResult, ...], quarantined: int
) -> ValidationReport:
    rows = raw.rows[c.ROWS]
    batch_holds = all(result.passed for result in results if result.severity is Severity.BATCH)
    return ValidationReport(
        suite=suite,
        dataset=raw,
        rows_in=rows,
        rows_validated=rows - quarantined,
        rows_quarantined=quarantined,
        tolerance=tolerance,
        passed=batch_holds and quarantined <= tolerance * rows,
        rules=results,
    )


def _stop_if_broken(report: ValidationReport, quarantine: DatasetRef, storage: Storage) -> None:
    if report.passed:
        return
    share = report.rows_quarantined / max(report.rows_in, 1)
    kept = storage.current(report.dataset.use_case, c.VALIDATED, report.dataset.partition)
    stopping = [result for result in report.broken if result.severity is not Severity.WARN]
    broken = [
        f"  {result.rule} ({result.severity}): "
        + (f"{result.broken_rows} rows, " if result.severity is Severity.ROW else "")
        + f"observed {result.observed or 'a broken rule'}. {result.reason}"
        for result in stopping
    ]
    raise ValidationFailed(
        f"{report.dataset.key}: {report.rows_quarantined} of {report.rows_in} rows ({share:.2%}) broke row rules of suite "
        f"'{report.suite}'; {report.tolerance:.2%} are allowed (validation.tolerance). Broken rules:\n"
        + "\n".join(broken)
        + f"\nThe original rows, with the rules that each broke: {storage.table(quarantine)}. Correct the files and run again, "
        "or correct the rule and run `titleholder quarantine replay`. Nothing was published as validated."
        + (f" Features still use {kept.key}, which was validated before." if kept else "")
    )


def _write_exactly(frame: DataFrame, expected: int) -> Writer:
    """A writer that refuses to lose or double a row."""

    def write(folder: Path) -> None:
        import pyarrow.dataset as ds

        frame.write.parquet(str(folder))
        found = ds.dataset(folder, format="parquet").count_rows()
        if found != expected:
            raise SnapshotError(
                f"{folder}: expected {expected} rows, wrote {found}; check that {c.ROW_ID} is unique in the raw data"
            )

    return write
