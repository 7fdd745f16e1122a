"""The documents name only files, commands and settings that exist, and no path of the author's machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.settings import ROOT, Settings

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "mlflow" / "README.md"])
FILE = re.compile(r"`([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+|[A-Za-z0-9_-]+\.(?:md|yaml|yml|toml|in|txt|conf))`")
NOT_IN_THE_REPOSITORY = ("var/", "native/", "build/")  # folders of an installation, an exported model and a benchmark


def faults(text: str, folder: Path) -> list[str]:
    """The names in a document that do not exist."""
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    found = [f"links to {target}" for target in links if not (folder / target).exists()]
    for name in FILE.findall(text):
        places = (ROOT / name, folder / name, *(ROOT / "tasks").glob(f"**/{name}"))
        if not name.startswith(NOT_IN_THE_REPOSITORY) and not any(place.exists() for place in places):
            found.append(f"names {name}")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    subjects = [path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")]

    def exists(target: str) -> bool:
        name, _, subject = target.partition("-")
        return target in targets or (name == "bench" and subject.partition("-")[0] in subjects)

    for named in re.findall(r"`make ([a-z -]+)[` ]", text) + re.findall(r"^make ([a-z-]+)", text, flags=re.M):
        found += [f"make has no target {name}" for name in named.split() if not exists(name)]
    commands = _commands()
    found += [f"no command titleholder {name}" for name in re.findall(r"`titleholder ([\w-]+)", text) if name not in commands]
    for name in re.findall(r"\bTITLEHOLDER_([A-Z_]+)\b", text):
        if name.lower() not in Settings.model_fields and name != "DATA":
            found.append(f"no setting TITLEHOLDER_{name}")
    found += [f"names a path of a machine: {place}" for place in re.findall(r"(?<![\w.])/(?:work|tmp|root|home)/\S*", text)]
    return found


def _commands() -> set[str]:
    from titleholder.cli import app

    groups = {group.name for group in app.registered_groups if group.name}
    found = (command for command in app.registered_commands if command.callback)
    return groups | {command.name or command.callback.__name__.replace("_", "-") for command in found if command.callback}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_only_what_exists(document: Path) -> None:
    assert faults(document.read_text(), document.parent) == []


@pytest.mark.parametrize(
    "text",
    [
        "see [there](nowhere.md)",
        "change `tasks/nowhere.py`",
        "run `make nothing`",
        "run `make bench-nothing`",
        "```\nmake nothing\n```",
        "run `titleholder nothing purchase_propensity`",
        "set TITLEHOLDER_NOTHING",
        "as in /home/user",
    ],
)
def test_a_broken_document_is_refused(text: str) -> None:
    assert len(faults(text, ROOT)) == 1


def test_every_decision_and_runbook_is_complete() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert [path.name[:4] for path in records] == [f"{number:04d}" for number in range(1, len(records) + 1)]
    for path in records:
        assert re.findall(r"^## (.+)", path.read_text(), flags=re.M) == ["Context", "Decision", "Consequences"]
        assert path.name in index


def test_the_walk_names_each_file_once() -> None:
    _, _, walk = (ROOT / "docs" / "architecture.md").read_text().partition("## Walk")
    named = re.findall(r"^\d+\. `([^`]+)`", walk, flags=re.M)
    assert len(named) > 50
    assert sorted(named) == sorted(set(named))
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("picture", ["architecture.svg", "layers.svg"])
def test_a_picture_is_well_formed(picture: str) -> None:
    import xml.etree.ElementTree as ET

    root = ET.parse(ROOT / "docs" / "images" / picture).getroot()  # noqa: S314  our own file
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
