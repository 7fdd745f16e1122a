"""The contract of a benchmark, how it runs, and what its result file records.

A benchmark is a package of this folder with `BENCHMARK` in its module `benchmark`. A figure is a number, or a table:
row -> column -> number or text. A row may lack a column.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import psutil
from rich.console import Console
from rich.table import Table

from tasks.code_version import get_code_version
from tasks.settings import ROOT

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Size = TypeVar("Size", bound=DataclassInstance)
else:
    Size = TypeVar("Size")

Figures = dict[str, Any]
FOLDER = ROOT / "build" / "bench"
RECORDS = "records"


@dataclass(frozen=True)
class Part(Generic[Size]):
    """One measurement of a benchmark, which can run alone.

    measure : the figures at a size.
    starts : the test marks of what it starts, `jvm` or `servers`.
    programs : the programs that it needs on the PATH.
    """

    measure: Callable[[Size], Figures]
    starts: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """The needed programs that this machine lacks."""
        return [name for name in self.programs if shutil.which(name) is None]


@dataclass(frozen=True)
class Benchmark(Generic[Size]):
    """Parts that share a size and a result file, and the meaning of each figure.

    full : the size of the published figures. smallest : seconds of work with the same code, which a test runs.
    publish : called after each part with its name, its figures, all figures so far, and the result file.
    """

    name: str
    parts: dict[str, Part[Size]]
    full: Size
    smallest: Size
    meaning: dict[str, str]
    publish: Callable[[str, Figures, Figures, Path], None] | None = None

    def measure(self, part: str, size: Size) -> Figures:
        """The figures of one part.

        Raises
        ------
        SystemExit : a program that the part needs is not installed.
        KeyError : a figure has no meaning in `meaning`.
        """
        if missing := self.parts[part].missing:
            raise SystemExit(f"{self.name} {part} needs {', '.join(missing)} on the PATH, for example: apt-get install wrk")
        figures = self.parts[part].measure(size)
        if unknown := sorted(set(figures) - set(self.meaning)):
            raise KeyError(f"{self.name} {part}: figures without a meaning: {', '.join(unknown)}")
        return figures


def find_benchmarks() -> dict[str, Benchmark[Any]]:
    """All benchmarks by name.

    Raises
    ------
    AttributeError, ModuleNotFoundError : a package of this folder has no `BENCHMARK` in its module `benchmark`.
    """
    packages = [found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)]) if found.ispkg]
    return {name: importlib.import_module(f"benchmarks.{name}.benchmark").BENCHMARK for name in sorted(packages)}


def main(arguments: Sequence[str], benchmark: Benchmark[Any] | None = None) -> None:
    """Run one benchmark, parts of it, or all benchmarks; show tables and write one JSON file each."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks{'.' + benchmark.name if benchmark else ''}")
    if benchmark is None:
        parser.add_argument("name", nargs="?", help="a benchmark, or <benchmark>-<part>; default: all of them")
    parser.add_argument("parts", nargs="*", help="parts of the benchmark; default: all of them")
    parser.add_argument("--smallest", action="store_true", help="use the smallest size and write to build/bench/smallest/")
    options = parser.parse_args(arguments)
    found = {benchmark.name: benchmark} if benchmark else find_benchmarks()
    parts, names = list(options.parts), list(found)
    if benchmark is None and options.name:
        name, _, part = options.name.partition("-")
        names, parts = [name], [part.replace("-", "_"), *parts] if part else parts
    folder = FOLDER / "smallest" if options.smallest else FOLDER
    for name in names:
        if name not in found:
            sys.exit(f"no benchmark {name!r}; the benchmarks are: {', '.join(found)}")
        if unknown := [part for part in parts if part not in found[name].parts]:
            sys.exit(f"{name} has no part {', '.join(unknown)}; the parts are: {', '.join(found[name].parts)}")
        run(found[name], parts, size=found[name].smallest if options.smallest else found[name].full, folder=folder)


def run(benchmark: Benchmark[Size], parts: Sequence[str] = (), *, size: Size, folder: Path = FOLDER) -> Figures:
    """Measure parts in turn. Each is written as it ends, beside what other parts measured before."""
    console, path = Console(), folder / f"{benchmark.name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    document: Figures = json.loads(path.read_text()) if path.is_file() else {}
    for part in parts or benchmark.parts:
        console.print(f"measuring {benchmark.name} {part} ...")
        record = describe_run()
        began = time.perf_counter()
        figures = benchmark.measure(part, size)
        record |= {"seconds": time.perf_counter() - began, "load_after": list(os.getloadavg()), "size": asdict(size)}
        document = merge(document, figures)
        document[RECORDS] = {**document.get(RECORDS, {}), part: record}
        path.write_text(json.dumps(document, indent=1, default=_to_json))
        _show(console, f"{benchmark.name} {part}", figures, benchmark.meaning)
        if benchmark.publish is not None:
            benchmark.publish(part, figures, document, path)
    console.print(f"written to {path}")
    return document


def merge(before: Figures, found: Figures) -> Figures:
    """The figures of both. Rows of a table that was measured before stay unless they were measured again."""
    return before | {name: {**before.get(name, {}), **new} if isinstance(new, dict) else new for name, new in found.items()}


def describe_run() -> Figures:
    """Where and when a measurement begins: commit, machine, Python, date and load average."""
    return {
        "commit": get_code_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_before": list(os.getloadavg()),
    }


def _cpu_model() -> str:
    """The name of the processor, as Linux reports it; elsewhere its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _to_json(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else float(value)


def _show(console: Console, title: str, figures: Figures, meaning: dict[str, str]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("figure", "value", "meaning"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for figure, value in figures.items():
        table.add_row(figure, _text(value) if isinstance(value, int | float) else "below", meaning[figure])
    console.print(table)
    for figure, rows in figures.items():
        if isinstance(rows, dict):
            below = Table(title=f"{figure}: {meaning[figure]}", title_justify="left")
            columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
            for column in ("", *columns):
                below.add_column(column, justify="right")
            for row, cells in rows.items():
                below.add_row(row, *(_text(cells.get(column, "")) for column in columns))
            console.print(below)


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
