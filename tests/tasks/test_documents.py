"""YAML files that people write: whatever is in one of them, it is read or refused by name, and the others are read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tasks.documents import DEEPEST, LARGEST, parse_document, read_text
from tasks.errors import ConfigurationError
from tasks.settings import ROOT
from tasks.stages.validation.suite import load_suite
from tasks.use_case import list_use_cases, load_use_case, parse_use_case

FOLDER = ROOT / "conf" / "use_cases"
VALUES = (
    *("2026-02-30", "!!timestamp x", "1e400", "9" * 400, ".nan", "0x", "1:30:00", "~", "yes", "-1", '""', '"\\0"'),
    *(
        "[x]",
        "{a: 1}",
        "{kind: [x]}",
        "{kind: null}",
        "[{kind: {}}]",
        "[[[[",
        "{[1]: 2}",
        "? [a]\n  : b",
        "!!set {a, b}",
        "- a",
    ),
    *("&a [*a]", "<<: [1]", "!!python/object:os.system {}", "!!binary abc", "@daily", "0 0 31 2 *", "Europe/Nowhere"),
)


def spoil(text: str, draw: random.Random) -> str:
    """The text with one to three lines changed, repeated, removed or with another character."""
    lines = text.split("\n")
    for _ in range(draw.randint(1, 3)):
        place, how = draw.randrange(len(lines)), draw.random()
        if how < 0.45:
            lines[place] = f"{lines[place].split(':')[0]}: {draw.choice(VALUES)}"
        elif how < 0.6:
            lines[place] += draw.choice(VALUES)
        elif how < 0.75:
            lines.insert(place, draw.choice(lines))
        elif how < 0.85:
            del lines[place]
        elif line := lines[place]:
            at = draw.randrange(len(line))
            lines[place] = line[:at] + chr(draw.randint(0, 0x2FFF)) + line[at + 1 :]
    return "\n".join(lines)


def test_a_spoiled_file_is_refused_and_no_other_error_is_raised() -> None:
    draw, refused = random.Random(5), 0
    texts = [path.read_text() for path in sorted(FOLDER.glob("*.yaml"))]
    for _ in range(300):
        try:
            parse_use_case(spoil(draw.choice(texts), draw), "spoiled.yaml")
        except ConfigurationError as error:
            refused += "spoiled.yaml" in str(error)
    assert refused > 250


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"start_date: 2026-02-30\n", "bad.yaml: a value cannot be read: day is out of range for month"),
        ("title: Käufe\n".encode("latin-1"), r"bad.yaml: line 1: expected UTF-8, got byte 0xe4; save the file as UTF-8"),
        (b"a: " + b"[" * 3000, f"bad.yaml: not YAML: nested more than {DEEPEST} levels deep"),
        (b"source: {kind: [x]}\n", r"bad.yaml: source.kind: no source of kind \['x'\]"),
        (b"gates: {mode: enabled}\ngates: {mode: disabled}\n", "bad.yaml: not YAML: the key 'gates' is repeated"),
        (b"a: &a [1]\nb: *a\n", r"bad.yaml: not YAML: references such as \*a are refused"),
        (b"name: " + b"x" * LARGEST, f"expected at most {LARGEST} bytes"),
    ],
    ids=["no such day", "Latin-1", "deep", "kind of a list", "repeated key", "reference", "large"],
)
def test_one_file_is_refused_and_the_others_are_read(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "breast_cancer.yaml").write_bytes((FOLDER / "breast_cancer.yaml").read_bytes())
    (tmp_path / "bad.yaml").write_bytes(content)
    assert list_use_cases(tmp_path) == ["bad", "breast_cancer"]
    with pytest.raises(ConfigurationError, match=message):
        load_use_case("bad", tmp_path)
    with pytest.raises(ConfigurationError, match=r"bad\.yaml"):
        load_suite("bad", tmp_path)
    assert load_use_case("breast_cancer", tmp_path).name == "breast_cancer"


def test_an_error_of_a_kind_stays_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str, where: str) -> None:
        raise KeyError("of a plug-in")

    (tmp_path / "shop.yaml").write_text("name: shop\n")
    monkeypatch.setattr("tasks.use_case.parse_use_case", fail)
    with pytest.raises(ConfigurationError, match=r"shop\.yaml: a check of its settings failed: KeyError: 'of a plug-in'"):
        load_use_case("shop", tmp_path)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml: cannot be read: No such file or directory"):
        read_text(tmp_path / "absent.yaml")
    (tmp_path / "marked.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert parse_document(read_text(tmp_path / "marked.yaml"), "marked.yaml") == {"a": 1}
