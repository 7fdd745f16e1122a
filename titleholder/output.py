"""What all commands share: their common arguments, and printing as a table for people or as JSON."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.errors import ConfigurationError

console = Console()
errors = Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
UseCaseName = Annotated[str, typer.Argument(help="Name of the use case.")]


def show(title: str, rows: list[dict[str, Any]], as_json: bool = False) -> None:
    """Print rows with the same keys, as a table with a title or as a JSON list."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        console.print(make_plain(f"{title}: nothing yet"))
        return
    table = Table(title=make_plain(title), title_justify="left", show_lines=False)
    for column in rows[0]:
        table.add_column(make_plain(column.replace("_", " ")), overflow="fold")
    for row in rows:
        table.add_row(*(make_plain("-" if value is None else str(value)) for value in row.values()))
    console.print(table)


def make_plain(text: str) -> Text:
    """Text of any origin for a terminal: no markup of Rich, and control characters in their escaped form.

    Reasons, tags and cells come from people and files. An escape sequence among them could clear the screen or forge output.
    """
    return Text("".join(one if one == "\n" or not _is_control(one) else repr(one)[1:-1] for one in text))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs"}  # control, format (text direction), surrogates


def print_json(document: Any) -> None:
    """Print a document as JSON; what JSON has no type for becomes text."""
    typer.echo(json.dumps(document, indent=2, default=str))


def parse_day(text: str) -> date:
    """A day of the command line.

    Raises
    ------
    ConfigurationError : the text is not YYYY-MM-DD.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"expected a day as YYYY-MM-DD, got {text!r}") from error


def parse_moment(text: str) -> datetime:
    """A moment of the command line, in UTC if it has no zone.

    Raises
    ------
    ConfigurationError : the text is not ISO 8601.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"expected a moment in ISO 8601 such as 2026-01-31T12:00, got {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
