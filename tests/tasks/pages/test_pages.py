"""Pages escape and clean what they are given, fetch nothing, and share one base template."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from tasks import pages
from tasks.settings import ROOT

TEMPLATES = ROOT / "tasks" / "pages" / "templates"
ROW = {
    "use_case": "shop",
    "task": "",
    "version": "1",
    "kind": "als",
    "features": "",
    "since": "",
    "promoted_by": "ann",
    "tone": "good",
    "state": "in service",
    "error": "",
}


def test_values_are_escaped_and_cleaned() -> None:
    page = pages.render_page("status.html.j2", rows=[{**ROW, "state": '<b>"x"</b>\u202e\x00\ud800 y\n z', "kind": "k" * 2000}])
    assert "&lt;b&gt;&#34;x&#34;&lt;/b&gt;\ufffd\ufffd\ufffd y z" in page
    assert "k" * 999 + "…" in page and "k" * 1000 not in page
    page.encode()


def test_attributes_cannot_be_closed_by_data() -> None:
    page = pages.render_page("status.html.j2", rows=[{**ROW, "use_case": '"><script>alert(1)</script>'}])
    assert "<script" not in page and 'href="/v1/&#34;&gt;&lt;script' in page


def test_missing_values_are_refused() -> None:
    with pytest.raises(UndefinedError, match="rows"):
        pages.render_page("status.html.j2")


def test_none_is_empty() -> None:
    assert '<td class="text"></td>' in pages.render_page("status.html.j2", rows=[{**ROW, "kind": None}])


@pytest.mark.parametrize(("length", "expected"), [(3, "abc"), (4, "abcd"), (2, "a…")])
def test_shorten(length: int, expected: str) -> None:
    assert pages.shorten("abcd"[: max(length, 3)], length) == expected


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.j2")), ids=lambda path: str(path.name))
def test_templates_have_no_scripts_and_no_addresses(template: Path) -> None:
    """And none switches escaping off."""
    text = template.read_text()
    assert not re.search(r"<script|://|\|\s*safe\b|autoescape|@import|url\(", text)


def test_every_page_extends_the_base_template() -> None:
    """By way of the template for pages with a frame, or directly."""
    whole = [path for path in TEMPLATES.glob("*.html.j2") if path.name not in ("base.html.j2", "macros.html.j2")]
    first = {path.name: path.read_text().splitlines()[0] for path in whole}
    framed = {"profile.html.j2", "drift_report.html.j2"}
    assert {name for name, line in first.items() if line == '{% extends "frame.html.j2" %}'} == framed
    assert {name for name, line in first.items() if line == '{% extends "base.html.j2" %}'} == first.keys() - framed


def test_status_page_without_models_and_with_an_error() -> None:
    assert "No model has been promoted yet." in pages.render_page("status.html.j2", rows=[])
    assert "shop: version 2 is not in service" in pages.render_page(
        "status.html.j2", rows=[{**ROW, "error": "version 2 is not in service"}]
    )
