"""Every kind of file is read as a user's source is, in one Spark job, and compared with what was written down."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from benchmarks.files.cases import CASES, Case
from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import SourceError, TitleholderError
from tasks.io.spark import spark_for
from tasks.reasons import translated
from tasks.stages.ingestion.base import Source
from tasks.stages.ingestion.lost import count_cells
from tasks.stages.ingestion.sources import SOURCES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WINDOW = Window(start=date(2026, 1, 1), end=date(2026, 1, 31))
NAME = "case_name"


class Outcome(NamedTuple):
    """What became of a case.

    rows : what was read; None where it was refused.
    message : of the refusal.
    is_ours : whether the refusal is one of ours, and no raw error of another program.
    """

    rows: list[dict[str, Any]] | None
    message: str = ""
    is_ours: bool = True


def judge(case: Case, outcome: Outcome) -> str:
    """`right`; `silent`: wrong rows without a word; `raw`: an error of another program; or `refused` wrongly or unclearly."""
    if outcome.rows is None:
        is_right = case.rows is None and all(part in outcome.message for part in case.refused)
        return "right" if is_right and outcome.is_ours else "refused" if outcome.is_ours else "raw"
    return "right" if case.rows is not None and _agree(case.rows, outcome.rows) else "silent"


def _agree(expected: Sequence[Any], found: Sequence[dict[str, Any]]) -> bool:
    return len(expected) == len(found) and all(
        all(_same(value, there.get(name)) for name, value in one.items()) for one, there in zip(expected, found, strict=True)
    )


def _same(expected: Any, found: Any) -> bool:
    if expected is None or found is None:
        return expected is found
    return bool(abs(expected - found) < 1e-9) if isinstance(expected, float | int) else bool(expected == found)


def read_cases(cases: Sequence[Case]) -> dict[str, Outcome]:
    """Case -> its outcome. Sources and files are checked apart; the rows of all cases are read in one job."""
    with tempfile.TemporaryDirectory(prefix="titleholder-files-") as home, spark_for(len(cases)) as spark:
        outcomes: dict[str, Outcome] = {}
        frames: dict[str, tuple[Source, DataFrame]] = {}
        for place, case in enumerate(cases):
            folder = Path(home) / f"case-{place}"
            folder.mkdir()
            try:
                with translated(case.name):
                    frames[case.name] = _open(case, folder, spark)
            except Exception as error:  # whatever another program raises is an outcome
                outcomes[case.name] = Outcome(None, str(error), isinstance(error, TitleholderError))
        written = Path(home) / "written"
        _write([(name, frame) for name, (_, frame) in frames.items()], written)
        for name, (source, _) in frames.items():
            outcomes[name] = _read(written / f"{NAME}={list(frames).index(name)}", source)
        return outcomes


def _open(case: Case, folder: Path, spark: Any) -> tuple[Source, DataFrame]:
    case.write(folder)
    settings = {"kind": "daily_files", **case.settings}
    if "url" in settings:
        settings["url"] = settings["url"].format(folder=folder)
    source = SOURCES.parse(settings, case.name)
    files = source.files(folder / "extracts" if "url" in settings else folder, WINDOW)
    if not files:
        raise SourceError(f"{case.name}: no file is of the window")
    return source, source.read(spark, files, WINDOW)


def _write(frames: Sequence[tuple[str, DataFrame]], folder: Path) -> None:
    """The rows of all cases in one job, a folder each."""
    from pyspark.sql import functions as F

    numbered = [frame.withColumn(NAME, F.lit(place)) for place, (_, frame) in enumerate(frames)]
    whole = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), numbered)
    whole.coalesce(1).write.partitionBy(NAME).parquet(str(folder))


def _read(folder: Path, source: Source) -> Outcome:
    try:
        count_cells(folder, source)
    except TitleholderError as error:
        return Outcome(None, str(error))
    rows = pd.read_parquet(folder).sort_values(c.ROW_ID)
    rows[c.EVENT_AT] = rows[c.EVENT_AT].dt.strftime("%Y-%m-%d %H:%M:%S")
    return Outcome([{str(name): _plain(value) for name, value in row.items()} for row in rows.to_dict("records")])


def _plain(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and pd.isna(value)) or value is pd.NaT else value


def measure_kinds(size: Any) -> dict[str, Any]:
    """How many kinds of files are read or refused as they must be."""
    cases = CASES[:: size.every]
    outcomes = read_cases(cases)
    found = {case.name: judge(case, outcomes[case.name]) for case in cases}
    return {
        "files": len(cases),
        "files_right": sum(one == "right" for one in found.values()),
        "silent": sum(one == "silent" for one in found.values()),
        "raw": sum(one == "raw" for one in found.values()),
        "wrong_table": dict(_wrong(cases, found, outcomes)),
    }


def _wrong(cases: Sequence[Case], found: dict[str, str], outcomes: dict[str, Outcome]) -> Iterator[tuple[str, dict[str, Any]]]:
    for case in cases:
        if found[case.name] != "right":
            outcome = outcomes[case.name]
            yield (
                case.name,
                {"is": found[case.name], "got": (outcome.message or str(outcome.rows))[:400], "report": case.report},
            )
