"""The validation stage: where rows go, when it stops, and that it can run again."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef, Severity, Validated
from tasks.errors import SnapshotError, ValidationFailed
from tasks.io.storage import Storage
from tasks.settings import ROOT
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.invoice_files import InvoiceFiles
from tasks.stages.validation import docs_page, find_refused, validate
from tasks.stages.validation.quarantine import explain_row, read_quarantine
from tests.tasks.stages.ingestion.conftest import LINE, write_day

pytestmark = pytest.mark.usefixtures("spark")
DAY = Window(start=date(2010, 12, 1), end=date(2010, 12, 2))
GOOD = [LINE.replace("536365", str(536365 + place)) for place in range(18)]
BAD = [",,x,none,soon,-1,,", "536365,85123A,x,0,2010-12-01 08:26:00,2.55,17850.0,EIRE"]
RULES_OF_BAD = [
    "cell_invoicedate_reads, country_known, event_at_parses, invoice_known, item_known, quantity_parses, "
    "unit_price_not_negative",
    "quantity_not_zero",
]


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "expectations", tmp_path / "expectations"))


def raw_of(folder: Path, storage: Storage, *lines: str) -> DatasetRef:
    write_day(folder, "2010-12-01", *lines)
    ref = ingest("test", InvoiceFiles(), folder, DAY, storage)
    assert ref is not None
    return ref


def run(raw: DatasetRef, storage: Storage, suites: Path, tolerance: float = 0.1) -> Validated:
    return validate(raw, "invoice_lines", tolerance, storage, suites)


def test_bad_rows_are_quarantined_with_all_their_rules(tmp_path: Path, storage: Storage, suites: Path) -> None:
    raw = raw_of(tmp_path / "in", storage, *GOOD, *BAD)
    outcome = run(raw, storage, suites)  # exactly a tenth is bad: at the tolerance, not above
    assert outcome.quarantine is not None
    report = outcome.report
    assert (report.rows_in, report.rows_validated, report.rows_quarantined, report.passed) == (20, 18, 2, True)
    assert outcome.validated.rows == {"rows": 18} and outcome.quarantine.rows == {"rows": 2}
    assert outcome.validated.partition == outcome.quarantine.partition == raw.partition

    before, after = (storage.read(ref).sort_values(c.ROW_ID) for ref in (raw, outcome.validated))
    assert tuple(after.columns) == c.INTERACTION_COLUMNS
    kept = before[before[c.ROW_ID].isin(after[c.ROW_ID])].drop(columns=c.LOST_CELLS)
    assert kept.reset_index(drop=True).equals(after.reset_index(drop=True))

    bad = storage.read(outcome.quarantine).sort_values(c.ROW_ID)
    assert list(bad.columns) == [c.ROW_ID, c.SOURCE_FILE, c.INGESTED_AT, c.AS_IT_CAME, c.BROKEN_RULES]
    assert bad[c.ROW_ID].tolist() == ["2010-12-01.csv:19", "2010-12-01.csv:20"]
    assert bad[c.BROKEN_RULES].tolist() == RULES_OF_BAD
    assert list(json.loads(bad[c.AS_IT_CAME].iloc[0]).values()) == BAD[0].split(",")
    assert {result.rule: result.broken_rows for result in report.broken}["customer_known"] == 1
    assert storage.manifest(outcome.quarantine)["facts"]["report"] == report.to_json()


def test_the_first_of_equal_lines_is_kept(tmp_path: Path, storage: Storage, suites: Path) -> None:
    outcome = run(raw_of(tmp_path / "in", storage, *GOOD[:12], GOOD[3], GOOD[3]), storage, suites, 0.5)
    assert outcome.quarantine is not None
    bad = storage.read(outcome.quarantine).sort_values(c.ROW_ID)
    assert bad[c.ROW_ID].tolist() == ["2010-12-01.csv:13", "2010-12-01.csv:14"]
    assert set(bad[c.BROKEN_RULES]) == {"exact_duplicates"}


def test_above_the_tolerance_only_the_quarantine_is_published(tmp_path: Path, storage: Storage, suites: Path) -> None:
    raw = raw_of(tmp_path / "in", storage, *GOOD[:17], *BAD)
    for _ in range(2):  # the second time from what was published
        with pytest.raises(ValidationFailed) as failure:
            run(raw, storage, suites)
        message = str(failure.value)
        assert "2 of 19 rows (10.53%)" in message and "10.00% are allowed (validation.tolerance)" in message
        assert "quantity_not_zero (row): 1 rows, observed 2010-12-01.csv:19" in message
        assert "customer_known" not in message  # a warning stops nothing
        place = re.search(r"rule.*? each broke: (\S+)\. ", message)
        quarantine = storage.current("test", c.QUARANTINE, raw.partition)
        assert place and quarantine and Path(place[1]) == storage.table(quarantine)
        assert storage.read(quarantine)[c.BROKEN_RULES].notna().sum() == 2
        assert not storage.manifest(quarantine)["facts"]["report"]["passed"]
        assert storage.current("test", c.VALIDATED, raw.partition) is None


def test_a_broken_batch_rule_stops_with_full_tolerance(tmp_path: Path, storage: Storage, suites: Path) -> None:
    raw = raw_of(tmp_path / "in", storage)
    with pytest.raises(ValidationFailed, match=r"some_lines_came \(batch\): observed 0"):
        run(raw, storage, suites, tolerance=1.0)
    assert storage.current("test", c.VALIDATED, raw.partition) is None


def test_running_again_changes_nothing_and_judges_nothing(
    tmp_path: Path, storage: Storage, suites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = raw_of(tmp_path / "in", storage, *GOOD, *BAD)
    first = run(raw, storage, suites)
    files = sorted(storage.root.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr("tasks.stages.validation.checks.check_rules", lambda *_: pytest.fail("the same rows were judged again"))
        assert run(raw, storage, suites) == first
    assert sorted(storage.root.rglob("*")) == files

    shutil.rmtree(storage.root / "test" / c.VALIDATED)  # as if killed between the two
    assert run(raw, storage, suites) == first


def test_another_suite_text_or_tolerance_is_judged_again(tmp_path: Path, storage: Storage, suites: Path) -> None:
    raw = raw_of(tmp_path / "in", storage, *GOOD, *BAD)
    first = run(raw, storage, suites)
    wider = run(raw, storage, suites, tolerance=0.2)
    assert wider.report.tolerance == 0.2 and wider.validated.digest == first.validated.digest
    path = suites / "invoice_lines.yaml"
    path.write_text(path.read_text().replace("value_set: [0.0]", "value_set: [0.0, 6.0]"))
    with pytest.raises(ValidationFailed, match=r"quantity_not_zero \(row\): 19 rows"):
        run(raw, storage, suites)


def test_a_corrected_file_is_validated(tmp_path: Path, storage: Storage, suites: Path) -> None:
    with pytest.raises(ValidationFailed):
        run(raw_of(tmp_path / "in", storage, *BAD), storage, suites)
    healed = run(raw_of(tmp_path / "in", storage, *GOOD), storage, suites)
    assert healed.quarantine is not None and healed.quarantine.rows == {"rows": 0}
    assert storage.current("test", c.QUARANTINE, DAY.label) == healed.quarantine


def test_real_days_stay_below_the_tolerance(online_retail: Path, storage: Storage, spark: SparkSession) -> None:
    window = Window(start=date(2011, 1, 16), end=date(2011, 1, 17))  # the day with most dirt
    raw = ingest("test", InvoiceFiles(), online_retail, window, storage)
    assert raw is not None
    report = validate(raw, "invoice_lines", 0.1, storage, ROOT / "expectations").report
    assert 0.05 < report.rows_quarantined / report.rows_in < 0.06
    assert report.rows_in == report.rows_validated + report.rows_quarantined == sum(raw.rows.values())


def test_all_real_rows_are_accounted_for(online_retail: Path, storage: Storage, spark: SparkSession) -> None:
    """The totals are those that were counted in the original files, and not by this project."""
    window = Window(start=date(2010, 12, 1), end=date(2011, 12, 10))
    raw = ingest("test", InvoiceFiles(), online_retail, window, storage)
    assert raw is not None and raw.rows == {c.ROWS: 541_909}
    facts = storage.manifest(raw)["facts"]
    assert len(facts["files"]) == 305
    rows = spark.read.parquet(str(storage.table(raw)))
    counts = rows.selectExpr(
        "count_if(user_id is null)",
        "count_if(item_text is null)",
        "count_if(event_id like 'C%')",
        "count_if(quantity < 0)",
        "count(distinct user_id)",
    ).first()
    assert counts is not None and tuple(counts) == (135_080, 1_454, 9_288, 10_624, 4_372)
    clean = rows.where("user_id is not null and event_id not like 'C%' and quantity > 0 and unit_price > 0")
    assert clean.count() == 397_884

    done = validate(raw, "invoice_lines", 0.1, storage, ROOT / "expectations")
    assert done.report.rows_validated + done.report.rows_quarantined == 541_909
    assert done.quarantine is not None
    broken = storage.read(done.quarantine)[c.BROKEN_RULES].str.split(", ").explode().value_counts().to_dict()
    assert broken["exact_duplicates"] == 5_268
    assert broken == {result.rule: result.broken_rows for result in done.report.broken if result.severity is Severity.ROW}


def test_a_refused_correction_keeps_the_old_rows_and_reports(tmp_path: Path, storage: Storage, suites: Path) -> None:
    good = run(raw_of(tmp_path / "in", storage, *GOOD), storage, suites).validated
    assert find_refused("test", storage) == []
    corrected = raw_of(tmp_path / "in", storage, *BAD)
    (waiting,) = find_refused("test", storage)
    assert waiting.reasons == ("it has not been judged yet",)
    with pytest.raises(ValidationFailed, match=f"Features still use {good.key}, which was validated before"):
        run(corrected, storage, suites)
    assert storage.current("test", c.VALIDATED, DAY.label) == good
    (refused,) = find_refused("test", storage)
    assert (refused.raw, refused.validated) == (corrected, good)
    assert "2 of 2 rows broke" in refused.summary and good.key in refused.summary
    run(raw_of(tmp_path / "in", storage, *GOOD[:-1]), storage, suites)
    assert find_refused("test", storage) == []


def test_quarantine_has_file_rules_and_run_of_each_row(tmp_path: Path, storage: Storage, suites: Path) -> None:
    named = Storage(storage.root, run="purchase.features/scheduled")
    page = tmp_path / "docs"
    raw = raw_of(tmp_path / "in", named, *GOOD, *BAD)
    outcome = validate(raw, "invoice_lines", 0.1, named, suites, page)
    rows = read_quarantine("test", storage)
    assert rows[[c.ROW_ID, c.SOURCE_FILE, "run"]].values.tolist() == [
        ["2010-12-01.csv:19", "2010-12-01.csv", "purchase.features/scheduled"],
        ["2010-12-01.csv:20", "2010-12-01.csv", "purchase.features/scheduled"],
    ]
    assert read_quarantine("test", storage, rule="quantity_not_zero")[c.ROW_ID].tolist() == ["2010-12-01.csv:20"]
    row, rules, cells = explain_row("test", "2010-12-01.csv:19", storage)
    assert [rule.rule for rule in rules] == [
        r for r in [x.rule for x in outcome.report.rules] if r in RULES_OF_BAD[0].split(", ")
    ]
    assert all(len(rule.reason) > 10 for rule in rules) and cells["InvoiceDate"] == "soon" and row["window"] == DAY.label
    with pytest.raises(SnapshotError, match="no row 'nobody:1' in quarantine"):
        explain_row("test", "nobody:1", storage)

    assert outcome.quarantine is not None
    html = docs_page(page, outcome.quarantine).read_text()
    assert f"<h1>{raw.key}: passed</h1>" in html and "Validation by suite invoice_lines" in html
    tiles = re.findall(r"<span>([a-z ]+)</span><strong>([\d,]+)</strong>", html)
    assert tiles == [("rows in", "20"), ("validated", "18"), ("quarantined", "2")]
    assert '<td class="text">quantity_not_zero</td>\n<td class="text">row</td>' in html
    assert "quantity_not_zero (row, growth): A line with quantity zero is neither a sale nor a return." in html
    assert "<script" not in html and not re.search(r"(src|href)=['\"]?https?:", html), "the page asks another server"


def test_rules_compare_with_the_past(tmp_path: Path, storage: Storage, suites: Path) -> None:
    run(raw_of(tmp_path / "in", storage, *GOOD), storage, suites)
    next_day = Window(start=date(2010, 12, 2), end=date(2010, 12, 3))
    dear = LINE.replace("12-01", "12-02").replace("2.55", "255.0")
    back = "C9,999,x,-1,2010-12-02 09:00:00,255.0,17850,EIRE"
    seen_again = GOOD[3]
    write_day(
        tmp_path / "in", "2010-12-02", *[dear.replace("536365", str(700 + place)) for place in range(18)], back, seen_again
    )
    raw = ingest("test", InvoiceFiles(), tmp_path / "in", next_day, storage)
    assert raw is not None
    outcome = run(raw, storage, suites)
    results = {result.rule: result for result in outcome.report.rules}
    assert results["volume_like_the_past"].passed and results["volume_like_the_past"].observed == "20"
    assert not results["prices_like_the_past"].passed
    assert (results["returned_item_was_sold"].passed, results["returned_item_was_sold"].broken_rows) == (False, 1)
    assert outcome.quarantine is not None
    assert storage.read(outcome.quarantine)[c.BROKEN_RULES].tolist() == ["delivered_once"]
    assert storage.manifest(outcome.quarantine)["facts"]["past"].keys() == {DAY.label}
    assert run(raw, storage, suites) == outcome
