"""Tables in documents match the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.settings import ROOT
from tasks.stages.ingestion.sources import SOURCES
from tests.architecture.tables import MARKED, TABLES, documents, written


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.name))
def test_a_table_follows_the_code(document: Path) -> None:
    text = document.read_text()
    assert written(text) == text, "run: python -m tests.architecture.tables"


def test_every_table_is_in_a_document() -> None:
    found = {name for document in documents() for _, name, _ in MARKED.findall(document.read_text())}
    assert found == set(TABLES)


@pytest.mark.parametrize("kind", SOURCES.kinds)
def test_every_source_has_its_line(kind: str) -> None:
    assert f"| `{kind}` |" in (ROOT / "docs" / "data.md").read_text()
