"""`titleholder look`: what a file, a folder or a table holds, and the use case that it suggests."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tasks.contracts.base import TaskKind
from tasks.settings import get_settings
from titleholder.output import AsJson, console, print_json, show


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command()(look)


def look(  # each is an option of the command
    place: Annotated[str, typer.Argument(help="A file, a folder of daily files, or the URL of a database.")],
    *,
    table: Annotated[str, typer.Option(help="The table, of a database.")] = "",
    write: Annotated[str, typer.Option(help="Write the use case and the suite under this name.")] = "",
    task: Annotated[TaskKind | None, typer.Option(help="What is to be predicted; default: what fits the columns.")] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict, of a table.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Whose local times and days these are, such as Europe/Berlin.")] = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Try the proposal out by the real jobs in a temporary folder.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Look at data before anything is configured: propose a use case and a suite with their doubts, and try them out."""
    from tasks.jobs import look as job

    settings = get_settings()
    name = write or _name_of(table or place)
    looked = job.look(place, name, table=table, task=task, target=target, time_zone=time_zone)
    found = looked.proposal
    if not as_json:
        console.print(escape(found.use_case_text), highlight=False, soft_wrap=True)
        if found.suite_text:
            console.print(escape(found.suite_text), highlight=False, soft_wrap=True)
    steps: list[job.Step] = []
    if run:
        with tempfile.TemporaryDirectory(prefix="titleholder-look-") as folder:
            steps = job.try_out(looked, settings, Path(folder))
    rows = [{"step": step.name, "ok": "yes" if step.is_ok else "no", "detail": step.detail} for step in steps]
    written = [str(path) for path in job.write_pair(found, settings)] if write else []
    if as_json:
        doubts = [{"where": one.where, "text": one.text} for one in found.doubts]
        document = {"use_case": found.use_case_text, "suite": found.suite_text or None, "doubts": doubts}
        print_json({**document, "trial": rows, "written": written})
    else:
        if rows:
            show("Trial", rows)
        for path in written:
            console.print(f"written: {path}", highlight=False, soft_wrap=True)
    if not all(step.is_ok for step in steps):
        raise typer.Exit(1)


def _name_of(place: str) -> str:
    """A name of a use case out of a file's, a folder's or a table's."""
    stem = Path(place.rstrip("/")).name.split(".")[0]
    plain = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    return (plain if plain[:1].isalpha() else f"data_{plain}".strip("_"))[:63]
