"""HTML pages: Jinja2 templates with autoescape, one base template and one stylesheet for all of them.

A page is one file. It runs no script of ours, fetches nothing from elsewhere, and follows the reader's light or dark scheme.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

__all__ = ["Cell", "Table", "clean_text", "frame_page", "read_colours", "render_page", "shorten"]

MAX_LENGTH = 1000
_TEMPLATES = Path(__file__).with_name("templates")
# Characters that a reader cannot see as what they are: controls, zero widths, and marks that change the direction of text.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than plain text.

    Parameters
    ----------
    tone : good, bad, warn or open; colours the text.
    note : follows the text in a muted colour, on a line of its own where `has_break`.
    title : the full value behind a shortened one.
    href : the address that the text links to; only http and https become links.
    """

    text: str
    tone: str = ""
    note: str = ""
    has_break: bool = False
    is_code: bool = False
    title: str = ""
    href: str = ""

    @property
    def is_link(self) -> bool:
        """Whether the address is one of the web."""
        return self.href.startswith(("http://", "https://"))


@dataclass(frozen=True)
class Table:
    """A table whose first `text_columns` columns are text and whose others are figures. A row of one cell is a heading."""

    head: Sequence[str | Cell]
    rows: Sequence[Sequence[str | Cell | None]]
    text_columns: int = 1


def render_page(template: str, **values: object) -> str:
    """The page of a template, such as `status.html.j2`.

    Every value is escaped and cleaned (`clean_text`), unless it is markup already (`markupsafe.Markup`). The same values give
    the same bytes.

    Raises
    ------
    jinja2.UndefinedError : the template names a value that is not given.
    """
    return _environment().get_template(template).render(values)


def read_colours() -> str:
    """The part of the stylesheet that defines the colours of the light and the dark scheme."""
    return (_TEMPLATES / "style.css").read_text().partition("/* text */")[0].strip()


def frame_page(html: str) -> Markup:
    """A page of another tool as the value of an iframe's `srcdoc`: escaped, and otherwise unchanged."""
    return escape(html)


def clean_text(value: object, max_length: int = MAX_LENGTH) -> str:
    """A value as text on one line: without controls and half characters, and at most `max_length` characters."""
    return shorten(re.sub(r"\s+", " ", _INVISIBLE.sub("\ufffd", str(value))), max_length)


def shorten(text: str, max_length: int) -> str:
    """The text, cut with an ellipsis where it is longer than `max_length` characters."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def _finalize(value: object) -> object:
    if value is None:
        return ""
    return value if hasattr(value, "__html__") else clean_text(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["shorten"] = lambda value, max_length: None if value is None else clean_text(value, max_length)
    return environment
