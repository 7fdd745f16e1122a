"""`make bench`: each benchmark beside its peer, in turn, in the same run; `make bench-<name>` runs one.

A benchmark is a module of this folder with `measure()`, figures by name, and `MEANING`, what each figure says. A figure is a
number, or a table: row -> column -> number or text; a row may lack a column.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import platform
import sys
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

FOLDER = Path("build") / "bench"


def find() -> dict[str, ModuleType]:
    """All benchmarks by name."""
    folder = str(Path(__file__).parent)
    names = [found.name for found in pkgutil.walk_packages([folder], "benchmarks.") if not found.name.endswith("__main__")]
    modules = {name.rpartition(".")[2]: importlib.import_module(name) for name in sorted(names)}
    return {name: module for name, module in modules.items() if hasattr(module, "MEANING")}


def main(wanted: list[str]) -> None:
    """Run those that are named, or all; show tables, write one JSON file each."""
    there = find()
    names = [name.replace("-", "_") for name in wanted] or list(there)
    if unknown := [name for name in names if name not in there]:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are: {', '.join(there)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    console = Console()
    for name in names:
        console.print(f"measuring {name} ...")
        figures = there[name].measure()
        document = {"machine": platform.machine(), "python": platform.python_version(), **figures}
        (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1, default=float))
        _show(console, name, figures, there[name].MEANING)
    console.print(f"written to {FOLDER}/")


def _show(console: Console, name: str, figures: dict[str, object], meaning: dict[str, str]) -> None:
    table = Table(title=name, title_justify="left")
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


if __name__ == "__main__":
    main(sys.argv[1:])
