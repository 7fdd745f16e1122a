"""Data: rows accounted for in real files, features of growing tables, validation beside a plain scan, bad inputs.

`make bench-data` measures all of it in about an hour and needs 12 GB of free disk. Real files are read from the folder that
TITLEHOLDER_DATA names.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.data import peers
from benchmarks.runner import Benchmark, Figures, Part, merge
from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.io.storage import Storage
from tasks.settings import ROOT
from tasks.stages.ingestion.generator import generate_invoices
from tests.ports import free_port

MEANING = {
    "rows_in": "data rows of the real daily files, by Python's csv reader",
    "rows_accounted": "of them validated or in quarantine, each day a delivery of its own",
    "rows_quarantined": "of them in quarantine",
    "ingest_seconds": "reading and validating all real days, one after the other",
    "features_seconds": "features of this many million generated events, local Spark with 4 GB",
    "features_peak_mb": "peak memory of that process tree",
    "duckdb_seconds": "the same user, item and pair aggregates by DuckDB",
    "polars_seconds": "the same by Polars",
    "cluster_seconds": "features on a Spark standalone cluster of two workers on this machine",
    "cluster_same_digest": "1 where its output is that of local Spark, bit for bit",
    "validation_ratio": "8 rules over a million rows and quarantine written, over one plain Spark scan for the same counts",
    "validation_seconds": "seconds of the 8 rules and quarantine, median of three rounds",
    "plain_scan_seconds": "seconds of the scan",
    "validated_seconds": "seconds of writing, digesting and publishing the rows that passed, not counted above",
    "bad_inputs": "kinds of bad input",
    "bad_inputs_held": "of them refused or in quarantine, the last good snapshot still current",
}
EVENTS_START, AS_OF = date(2025, 1, 1), date(2025, 12, 31)
SUITE = """
dataset: eight
description: Eight rules, as a suite of every day has them.
rules:
"""
RULES = (
    ("event_at_parses", "expect_column_values_to_not_be_null", "{column: event_at}"),
    ("item_known", "expect_column_values_to_not_be_null", "{column: item_id}"),
    ("event_known", "expect_column_values_to_not_be_null", "{column: event_id}"),
    ("quantity_plausible", "expect_column_values_to_be_between", "{column: quantity, min_value: -100000, max_value: 100000}"),
    ("quantity_not_zero", "expect_column_values_to_not_be_in_set", "{column: quantity, value_set: [0.0]}"),
    ("price_not_negative", "expect_column_values_to_be_between", "{column: unit_price, min_value: 0}"),
    ("kind_known", "expect_column_values_to_be_in_set", "{column: event_type, value_set: [purchase, return]}"),
    ("country_known", "expect_column_values_to_not_be_null", "{column: segment}"),
)


@dataclass(frozen=True)
class Size:
    """`generated_days` replaces the real files by so many generated days. `bad_inputs` limits their number."""

    million_events: tuple[float, ...] = (1, 10, 50)
    cluster_million_events: float = 10
    validation_rows: int = 1_000_000
    validation_rounds: int = 3
    generated_days: int = 0
    bad_inputs: int | None = None


def measure_real_files(size: Size) -> Figures:
    """Ingest and validate each real day as a delivery of its own, and look for each of its rows in what was published.

    Without the real files no figure comes back.
    """
    if size.generated_days:
        with tempfile.TemporaryDirectory() as name:
            end = EVENTS_START + timedelta(days=size.generated_days)
            generate_invoices(Path(name) / "days", EVENTS_START, end, 7)
            return account_for_rows(sorted((Path(name) / "days").glob("*.csv")), Path(name))
    archive = Path(os.environ.get("TITLEHOLDER_DATA", "")) / "online-retail.tar.xz"
    if not archive.is_file():
        return {}
    with tempfile.TemporaryDirectory() as name, tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)  # from Python 3.11.4 on
        packed.extractall(name)  # noqa: S202  the filter is set
        days = sorted((Path(name) / "online-retail" / "by-day").glob("*.csv"))
        return account_for_rows(days, Path(name))


def account_for_rows(days: list[Path], home: Path) -> Figures:
    """Rows of daily invoice files, and how many of them were validated or are in quarantine."""
    import csv

    from tasks.errors import ValidationFailed
    from tasks.stages.ingestion import ingest
    from tasks.stages.ingestion.invoice_files import InvoiceFiles
    from tasks.stages.validation import validate

    storage, source = Storage(home / "real-data"), InvoiceFiles()
    rows_in = validated = quarantined = 0
    rules: Counter[str] = Counter()
    began = time.perf_counter()
    for path in days:
        with path.open(newline="", encoding="utf-8") as stream:
            rows_in += sum(1 for _ in csv.reader(stream)) - 1
        day = date.fromisoformat(path.stem)
        window = Window.before(date.fromordinal(day.toordinal() + 1), 1)
        raw = ingest("retail", source, path.parent, window, storage)
        if raw is None:
            raise RuntimeError(f"{path}: no rows")
        try:
            validated += validate(raw, "invoice_lines", 0.25, storage, ROOT / "expectations").report.rows_validated
        except ValidationFailed as error:
            print(f"{path.name}: {str(error).splitlines()[0]}")
        refused = storage.current("retail", c.QUARANTINE, window.label)
        if refused is None:
            raise RuntimeError(f"{path}: no quarantine")
        broken = storage.read(refused, columns=[c.BROKEN_RULES])[c.BROKEN_RULES]
        quarantined += int((broken.str.len() > 0).sum())
        rules.update(rule for row in broken for rule in row.split(", "))
    print("in quarantine by rule:", dict(rules.most_common()))
    return {
        "rows_in": rows_in,
        "rows_accounted": validated + quarantined,
        "rows_quarantined": quarantined,
        "ingest_seconds": time.perf_counter() - began,
    }


def make_events(folder: Path, rows: int) -> Path:
    """Generated events as one validated table: a fiftieth as many users, 20,000 items, a year, five lines an order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    generator = np.random.default_rng(7)
    start = np.datetime64(EVENTS_START.isoformat(), "us")
    for part, begin in enumerate(range(0, rows, 1_000_000)):
        size = min(1_000_000, rows - begin)
        order = np.arange(begin, begin + size) // 5
        minute = (order * 2_654_435_761 % (360 * 24 * 60)).astype("timedelta64[m]")
        at = (start + minute).astype("datetime64[us]")
        user = order * 40_503 % max(rows // 50, 10)
        item = (generator.pareto(1.0, size) * 50).astype(np.int64) % 20_000
        quantity = generator.integers(1, 12, size).astype(np.float64)
        returned = generator.random(size) < 0.02
        quantity[returned] *= -1
        price = np.round(generator.lognormal(0.9, 0.8, size), 2)
        table = pa.table(
            {
                c.ROW_ID: pa.array(np.arange(begin, begin + size)).cast(pa.string()),
                c.SOURCE_FILE: pa.array(["f"] * size),
                c.EVENT_AT: pa.array(at, pa.timestamp("us", "UTC")),
                c.INGESTED_AT: pa.array(at, pa.timestamp("us", "UTC")),
                c.EVENT_ID: pa.array(order).cast(pa.string()),
                c.EVENT_TYPE: pa.array(np.where(returned, c.RETURN, c.PURCHASE)),
                c.USER_ID: pa.array(user).cast(pa.string()),
                c.ITEM_ID: pa.array(item).cast(pa.string()),
                c.QUANTITY: quantity,
                c.UNIT_PRICE: price,
                c.VALUE: quantity * price,
                c.SEGMENT: pa.array(["EIRE"] * size),
            }
        )
        pq.write_table(table, folder / f"part-{part}.parquet")
    return folder


BUILD = """
import json, sys, time
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from tasks.contracts.data import DatasetRef
from tasks.contracts.base import TaskKind
from tasks.stages.features import FeatureRequest, FeatureSpec, build_features
from tasks.io.spark import get_spark
from tasks.io.storage import Storage
root, ref, as_of = Path(sys.argv[1]), DatasetRef.from_json(json.loads(sys.argv[2])), date.fromisoformat(sys.argv[3])
get_spark().range(10).count()
began = time.perf_counter()
spec = FeatureSpec(lookback_days=(7, 28, 90))
made = build_features(FeatureRequest("bench", TaskKind.PROPENSITY, spec, [ref], as_of), Storage(root))
print(json.dumps({"seconds": time.perf_counter() - began, "digest": made.digest}))
"""


def measure_features(size: Size) -> Figures:
    """Features of each number of events, in a process of its own, then by the peers on the same files."""
    figures: Figures = {}
    for millions in size.million_events:
        with tempfile.TemporaryDirectory() as home:
            figures = merge(figures, _measure_events(Path(home), millions, millions == size.cluster_million_events))
    return figures


def _measure_events(home: Path, millions: float, on_cluster: bool) -> Figures:
    rows = int(millions * 1_000_000)
    events = make_events(home / f"events-{rows}", rows)
    storage = Storage(home / f"features-{rows}")
    label = f"{EVENTS_START.isoformat()}..{AS_OF.isoformat()}"
    ref = storage.publish(use_case="bench", layer=c.VALIDATED, partition=label, tables={c.ROWS: partial(_copy, events)})
    local = _build(storage, ref)
    seconds = {
        "features_seconds": local["seconds"],
        "duckdb_seconds": peers.measure_duckdb(events, AS_OF),
        "polars_seconds": peers.measure_polars(events, AS_OF),
    }
    figures: Figures = {name: {f"{millions:g}m": {"seconds": value}} for name, value in seconds.items()}
    figures["features_peak_mb"] = {f"{millions:g}m": {"MB": local["peak_mb"]}}
    return figures | (measure_cluster(home, ref, events, local["digest"]) if on_cluster else {})


def _copy(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder)


def _build(storage: Storage, ref: DatasetRef, **environment: str) -> dict[str, Any]:
    """Run the build and watch the memory of it and of its JVM."""
    import psutil

    env = {**os.environ, "PYTHONPATH": str(ROOT), "TITLEHOLDER_SPARK_DRIVER_MEMORY": "4g", **environment}
    command = [sys.executable, "-c", BUILD, str(storage.root), json.dumps(ref.to_json()), AS_OF.isoformat()]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watched, peak = psutil.Process(process.pid), 0.0
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family) / 2**20)
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.5)
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"building features failed: {errors[-2000:]}")
    return {**json.loads(output.splitlines()[-1]), "peak_mb": peak}


def measure_cluster(home: Path, ref: DatasetRef, events: Path, digest: str) -> Figures:
    """The same job with another master: a cluster of two workers of one core each, on this machine."""
    import pyspark

    spark_home, port = Path(pyspark.__file__).parent, free_port()
    address, deploy = f"spark://127.0.0.1:{port}", "org.apache.spark.deploy"
    env = {
        **os.environ,
        "SPARK_HOME": str(spark_home),
        "SPARK_WORKER_DIR": str(home / "work"),
        "PYSPARK_PYTHON": sys.executable,
    }

    def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(spark_home / "bin" / "spark-class"), f"{deploy}.{name}", "--host", "127.0.0.1", "--webui-port", "0"]
        return subprocess.Popen([*command, *arguments], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    running = [start("master.Master", "--port", str(port))]
    try:
        _await_port(port)
        running += [start("worker.Worker", "--cores", "1", "--memory", "2g", address) for _ in range(2)]
        storage = Storage(home / "features-cluster")
        again = storage.publish(
            use_case="bench",
            layer=c.VALIDATED,
            partition=ref.partition,
            tables={c.ROWS: partial(_copy, events)},
        )
        built = _build(storage, again, TITLEHOLDER_SPARK_MASTER=address)
    finally:
        for process in running:
            process.terminate()
            process.wait()
    return {"cluster_seconds": built["seconds"], "cluster_same_digest": float(built["digest"] == digest)}


def _await_port(port: int, seconds: float = 60.0) -> None:
    """Return when a server listens on the port of this machine."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"no server listens on port {port} after {seconds:g} seconds")


def measure_validation(size: Size) -> Figures:
    """Eight rules with a few bad rows in each, quarantine and validated rows published, beside one scan for the same counts."""
    with tempfile.TemporaryDirectory() as home:
        return _time_validation(Path(home), size.validation_rows, size.validation_rounds)


def _time_validation(home: Path, rows: int, rounds: int) -> Figures:
    from statistics import median

    import pyarrow.dataset as ds
    from pyspark.sql import functions as F

    from tasks.io.spark import get_spark
    from tasks.stages.validation import validate

    spark = get_spark()
    table = ds.dataset(make_events(home / "lines", rows), format="parquet").to_table().to_pandas()
    table[c.AS_IT_CAME] = '{"row": "' + table[c.ROW_ID] + '"}'
    table[c.ROW_ID] = "f:" + table[c.ROW_ID]
    table.loc[::1000, c.ITEM_ID] = None
    table.loc[1::1000, c.QUANTITY] = 0.0
    storage = _TimedStorage(home / "validation")
    frame = spark.createDataFrame(table).repartition(2)
    raw = storage.publish(
        use_case="bench",
        layer=c.RAW,
        partition="2025-01-01..2025-12-31",
        tables={c.ROWS: lambda folder: frame.write.parquet(str(folder))},
    )
    suites = home / "suites"
    suites.mkdir()
    lines = [
        f"  - {{rule: {name}, expect: {kind}, with: {arguments}, severity: row, reason: measured here, owner: bench}}"
        for name, kind, arguments in RULES
    ]
    (suites / "eight.yaml").write_text(SUITE + "\n".join(lines) + "\n")

    def plain() -> None:
        frame = spark.read.parquet(str(storage.table(raw)))
        named = (c.EVENT_AT, c.ITEM_ID, c.EVENT_ID, c.QUANTITY, c.UNIT_PRICE, c.EVENT_TYPE, c.SEGMENT)
        broken = [
            F.col(c.EVENT_AT).isNull(),
            F.col(c.ITEM_ID).isNull(),
            F.col(c.EVENT_ID).isNull(),
            ~F.col(c.QUANTITY).between(-100000, 100000),
            F.col(c.QUANTITY) == 0,
            F.col(c.UNIT_PRICE) < 0,
            ~F.col(c.EVENT_TYPE).isin(c.PURCHASE, c.RETURN),
            F.col(c.SEGMENT).isNull(),
        ]
        counts = [F.count_if(one).alias(f"broken_{place}") for place, one in enumerate(broken)]
        frame.agg(*counts, *(F.count(name).alias(f"given_{name}") for name in named), F.count(F.lit(1))).collect()

    ours, theirs, published = [], [], []
    for turn in range(rounds + 1):
        began = time.perf_counter()
        plain()
        theirs.append(time.perf_counter() - began)
        began, storage.seconds = time.perf_counter(), 0.0
        validate(raw, "eight", 0.1 + turn / 1000, storage, suites)  # another tolerance: nothing is found again
        ours.append(time.perf_counter() - began - storage.seconds)
        published.append(storage.seconds)
    return {
        "validation_ratio": median(ours[1:]) / median(theirs[1:]),
        "validation_seconds": median(ours[1:]),
        "plain_scan_seconds": median(theirs[1:]),
        "validated_seconds": median(published[1:]),
    }


class _TimedStorage(Storage):
    """Adds up the seconds that publishing validated rows takes."""

    seconds = 0.0

    def publish(self, *, layer: str, **snapshot: Any) -> DatasetRef:
        began = time.perf_counter()
        try:
            return super().publish(layer=layer, **snapshot)
        finally:
            if layer == c.VALIDATED:
                self.seconds += time.perf_counter() - began


def measure_bad_inputs(size: Size) -> Figures:
    """Deliver each bad input of the tests, and count those that are refused or put into quarantine."""
    from tests.tasks.stages import bad_inputs as bad

    chosen = dict(list(bad.BAD_INPUTS.items())[: size.bad_inputs])
    with tempfile.TemporaryDirectory() as name:
        home, storage = Path(name), Storage(Path(name) / "bad")
        good = bad.deliver_good(home / "good", storage)
        faults = {
            label: bad.hold(one, home / "deliveries" / str(place), storage, good)
            for place, (label, one) in enumerate(chosen.items())
            if label not in bad.ROWS
        }
        bad.kill_while_publishing(storage)
        is_current = storage.current(bad.CASE, c.VALIDATED, bad.WINDOW.label) == good
        faults |= {"killed while publishing": "" if is_current else "the last good snapshot is not current"}
        faults |= bad.hold_rows(home / "rows", storage)
    for label, fault in faults.items():
        if fault:
            print(f"{label}: {fault}")
    return {"bad_inputs": len(faults), "bad_inputs_held": sum(not fault for fault in faults.values())}


BENCHMARK = Benchmark(
    name="data",
    parts={
        "real": Part(measure_real_files, starts=("jvm",)),
        "validation": Part(measure_validation, starts=("jvm",)),
        "bad": Part(measure_bad_inputs, starts=("jvm",)),
        "features": Part(measure_features, starts=("jvm",)),
    },
    full=Size(),
    smallest=Size(
        million_events=(0.001,),
        cluster_million_events=0.001,
        validation_rows=2_000,
        validation_rounds=1,
        generated_days=1,
        bad_inputs=2,
    ),
    meaning=MEANING,
)
