"""Workbooks as Excel writes them, for which no kept library of this project has a writer."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
KINDS = "application/vnd.openxmlformats-officedocument.spreadsheetml"
LETTERS = "ABCDEFGHIJ"


def make_workbook(rows: list[list[Any]], sheet: str = "Sheet1") -> bytes:
    """The bytes of a workbook: numbers are doubles, and times are days since 1899 with a format of dates."""
    cells = "".join(f'<row r="{place}">{"".join(_cells(row, place))}</row>' for place, row in enumerate(rows, start=1))
    files = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{KINDS}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{KINDS}.worksheet+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{KINDS}.styles+xml"/></Types>',
        "_rels/.rels": _relate(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="{sheet}" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _relate(("worksheet", "worksheets/sheet1.xml"), ("styles", "styles.xml")),
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><fonts count="1"><font/></fonts><fills count="1"><fill/></fills>'
        '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
        '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{cells}</sheetData></worksheet>',
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _cells(row: list[Any], place: int) -> Iterator[str]:
    for letter, value in zip(LETTERS, row, strict=False):
        at = f'r="{letter}{place}"'
        if isinstance(value, datetime):
            days = (value - datetime(1899, 12, 30)) / timedelta(days=1)  # noqa: DTZ001  a workbook knows no zone
            yield f'<c {at} s="1"><v>{days!r}</v></c>'
        elif isinstance(value, int | float):
            yield f"<c {at}><v>{value}</v></c>"
        elif value is not None:
            yield f'<c {at} t="inlineStr"><is><t>{value}</t></is></c>'


def _relate(*targets: tuple[str, str]) -> str:
    """The part of a package that names others: their kinds and paths."""
    listed = "".join(
        f'<Relationship Id="r{place}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for place, (kind, target) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{listed}</Relationships>'
