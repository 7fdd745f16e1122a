"""Tables of the command: whatever people and files wrote into a cell is shown as text."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from titleholder import output


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(output, "console", Console(file=written, width=120, force_terminal=True, color_system="standard"))
    return written


@pytest.mark.parametrize("cell", ["see [/docs]", "[/x]", "[green]the chain is intact[/]", "[link=http://a]b[/link]"])
def test_markup_is_shown_as_it_was_written(cell: str, shown: io.StringIO) -> None:
    output.show(f"Ledger of {cell}", [{"reason": cell, "reviewer": None}])
    assert shown.getvalue().count(cell) == 2


@pytest.mark.parametrize("cell", ["\x1b[2J", "\x1b]0;title\x07", "a\rb", "\u202egnp.exe", "\x9b31m", "\u200b"])
def test_control_characters_are_escaped(cell: str, shown: io.StringIO) -> None:
    output.show("Ledger", [{"reason": cell}])
    assert cell not in shown.getvalue() and repr(cell)[1:-1] in shown.getvalue()


def test_lines_and_letters_stay(shown: io.StringIO) -> None:
    output.show("Reasons", [{"reason": "Größe\n第二行"}])
    assert "Größe" in shown.getvalue() and "第二行" in shown.getvalue()
