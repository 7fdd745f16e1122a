"""`make bench`: each benchmark beside its peer, in turn, in the same run; medians of several rounds, as ratios."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import dag_parsing, judging

FOLDER = Path("build") / "bench"


def main() -> None:
    """Run all, show one table, write one JSON file each."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    table = Table(title="Benchmarks", title_justify="left")
    for column in ("benchmark", "figure", "value", "meaning"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for module in (judging, dag_parsing):
        name = module.__name__.rsplit(".", maxsplit=1)[-1]
        Console().print(f"measuring {name} ...")
        figures = module.measure()
        document = {"machine": platform.machine(), "python": platform.python_version(), **figures}
        (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1))
        for figure, value in figures.items():
            table.add_row(name, figure, f"{value:.4g}", module.MEANING[figure])
    Console().print(table)
    print(f"written to {FOLDER}/")


if __name__ == "__main__":
    main()
