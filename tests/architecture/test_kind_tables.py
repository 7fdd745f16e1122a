"""The tables of gates, drift checks and sources in the documentation are those of the classes."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.kinds import KindRegistry
from tasks.settings import ROOT
from tasks.stages.ingestion.sources import SOURCES
from tests.architecture.kind_tables import TABLES, fill_in


@pytest.mark.parametrize(("name", "registry", "head", "common"), TABLES)
def test_tables_are_made_from_the_classes(name: str, registry: KindRegistry[Any], head: str, common: set[str]) -> None:
    text = (ROOT / name).read_text()
    assert fill_in(text, registry, head, common) == text, "run: python -m tests.architecture.kind_tables"


def test_a_document_without_marks_is_refused() -> None:
    _, registry, head, common = TABLES[0]
    with pytest.raises(ValueError, match="add them where the table belongs"):
        fill_in("no marks", registry, head, common)


@pytest.mark.parametrize("kind", SOURCES.kinds)
def test_every_source_has_its_line(kind: str) -> None:
    assert f"| `{kind}` |" in (ROOT / "docs" / "data.md").read_text()
