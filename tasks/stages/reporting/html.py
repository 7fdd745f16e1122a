"""HTML of our own: every text is escaped unless it is `Html` already, so that nothing from data becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

LONGEST = 300
# what would not be seen as it is: controls, zero widths, and marks that turn the direction of what follows
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_VOID = ("meta", "br")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def plain(value: object, longest: int = LONGEST) -> str:
    """A value as text that can be shown: no controls, no half characters, on one line, not endless."""
    text = re.sub(r"\s+", " ", _UNSEEN.sub("\ufffd", str(value)))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def show(value: object, longest: int = LONGEST) -> Html:
    """A value as markup: escaped, unless it is markup already; nothing where it is None."""
    if isinstance(value, Html):
        return value
    return Html("") if value is None else Html(escape(plain(value, longest)))


def tag(element: str, *content: object, **attributes: object) -> Html:
    """One element. An attribute's trailing underscore is dropped (`class_`), other ones become dashes; None leaves it out."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(plain(value, 2000))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(show(one) for one in content)
    return Html(f"<{element}{named}>" if element in _VOID else f"<{element}{named}>{inner}</{element}>")


def together(parts: Iterable[object], between: str = "") -> Html:
    """Markup in a row; `between` is escaped."""
    return Html(show(between).join(show(part) for part in parts))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], left: int = 1, class_: str | None = None) -> Html:
    """A table whose first `left` columns are text and whose others are figures; a row of one cell is a heading."""

    def line(element: str, cells: Sequence[object]) -> Html:
        if len(cells) == 1 < len(head):
            return tag("tr", tag("td", cells[0], colspan=len(head)), class_="group")
        return tag("tr", *(tag(element, cell, class_="text" if place < left else "figure") for place, cell in enumerate(cells)))

    body = [line("td", row) for row in rows]
    named = tag("thead", line("th", head)) if any(head) else None
    return tag("div", tag("table", named, tag("tbody", *body), class_=class_), class_="wide")


def section(anchor: str, title: str, *content: object, lead: object = None) -> Html:
    """A part of the page with its heading and one sentence about it."""
    return tag("section", tag("h2", title), lead if lead is None else tag("p", lead, class_="lead"), *content, id=anchor)


def document(title: str, *content: object) -> Html:
    """A whole page that asks for nothing from outside and runs nothing."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(_STYLE)),
    )
    return Html("<!doctype html>\n" + tag("html", head, tag("body", tag("main", *content)), lang="en") + "\n")


_STYLE = """
:root {
  --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --muted: #5b6470; --line: #dfe3e8; --faint: #f0f2f5;
  --challenger: #1f62ad; --champion: #b0620c; --baseline: #7b8490;
  --good: #17703a; --bad: #b3261e; --open: #6b7280; --warn: #8a5a00;
  --good-back: #e7f4eb; --bad-back: #fbe9e7; --warn-back: #fdf3dc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --card: #181c22; --ink: #e6e9ed; --muted: #9aa4b1; --line: #2d343d; --faint: #20262d;
    --challenger: #6eaef5; --champion: #e7a254; --baseline: #929cab;
    --good: #6fce8f; --bad: #f58a80; --open: #a2abb8; --warn: #e5bd62;
    --good-back: #15301f; --bad-back: #3a1a18; --warn-back: #33290f;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 27px; line-height: 1.25; margin: 2px 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0 0 4px; }
h3 { font-size: 14px; margin: 22px 0 6px; }
p { margin: 0 0 10px; }
a { color: var(--challenger); }
.kicker, .lead, .note { color: var(--muted); }
.kicker { font-size: 13px; }
.note { font-size: 13px; margin: 8px 0 0; }
.lead { font-size: 14px; max-width: 90ch; }
nav { font-size: 13px; margin: 14px 0 0; display: flex; flex-wrap: wrap; gap: 4px 16px; }
nav a { text-decoration: none; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px; margin-top: 16px; }
.verdict { margin: 16px 0; padding: 14px 18px; border-radius: 10px; border-left: 6px solid; }
i { font-style: normal; }
.verdict.good, .verdict.bad, .verdict.warn { color: var(--ink); }
.verdict b { font-size: 19px; display: block; }
.verdict ul { margin: 6px 0 0; padding-left: 20px; }
.verdict.good { background: var(--good-back); border-color: var(--good); }
.verdict.bad { background: var(--bad-back); border-color: var(--bad); }
.verdict.warn { background: var(--warn-back); border-color: var(--warn); }
.verdict.good b { color: var(--good); } .verdict.bad b { color: var(--bad); } .verdict.warn b { color: var(--warn); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile span { display: block; font-size: 13px; color: var(--muted); }
.tile strong { display: block; white-space: nowrap; font-size: 24px; line-height: 1.35; font-variant-numeric: tabular-nums; }
.columns { display: grid; gap: 8px 32px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); }
.columns > * { min-width: 0; }
.keep { white-space: nowrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { color: var(--muted); font-weight: 600; font-size: 13px; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
tbody tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
.text { text-align: left; }
.figure { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.cases td { font-size: 13px; }
.cases .text { min-width: 96px; }
.group { color: var(--muted); font-size: 13px; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); } .warn { color: var(--warn); }
td.figure > .good, td > .good, td > .bad { font-weight: 600; }
.entry { display: block; } .entry.hit { color: var(--good); font-weight: 600; }
.entry i { color: var(--muted); font-weight: 400; }
code { font: 12.5px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.chips code { display: inline-block; background: var(--faint); border-radius: 5px; padding: 1px 7px; margin: 2px 4px 2px 0; }
ul.plain { margin: 6px 0 0; padding-left: 20px; } ul.plain li { margin-bottom: 5px; max-width: 100ch; }
figure { margin: 6px 0 0; max-width: 640px; } figure svg { width: 100%; height: auto; display: block; }
figure svg * { stroke-linejoin: round; } figure svg text { font-family: inherit !important; }
@media print { body { background: none; } section { break-inside: avoid; } nav { display: none; } }
"""
