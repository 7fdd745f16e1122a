"""Whether a proposal is the use case that was written down as right."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from benchmarks.files.public import PublicFile
from tasks.contracts.cells import NUMBERS
from tasks.errors import TitleholderError
from tasks.jobs.look import Looked, look
from tasks.use_case import parse_use_case

SEED = 7
NAME = "looked_at"
LOOKED_AT = ("format", "encoding", "delimiter", "columns", "constants", "positive", "negative", "event_id_unique", "time_zone")


def look_at(file: PublicFile, folder: Path) -> Looked:
    """The proposal for a file that is written into a folder."""
    return look(str(file.write(folder, np.random.default_rng(SEED))), NAME)


def judge(file: PublicFile) -> list[str]:
    """What would have to be edited in the proposal for a file, one line each: `key: proposed, not right`."""
    with TemporaryDirectory() as folder:
        try:
            found = look_at(file, Path(folder)).proposal.use_case_text
        except TitleholderError as error:
            return [f"refused: {error}"]
    return find_edits(found, file.right)


def find_edits(proposed: str, right: str) -> list[str]:
    """What differs between two use cases in their meaning: not how numbers are stored, nor what is stated by default."""
    one, other = _meaning_of(yaml.safe_load(proposed)), _meaning_of(_complete(yaml.safe_load(right)))
    return [
        f"{key}: {one.get(key)!r}, not {other.get(key)!r}" for key in sorted({*one, *other}) if one.get(key) != other.get(key)
    ]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "name": NAME, "source": {"kind": "daily_files", "path": "sources/files", **document["source"]}}


def _meaning_of(document: dict[str, Any]) -> dict[str, Any]:
    case = parse_use_case(yaml.safe_dump(document), f"{NAME}.yaml")
    source = case.source.model_dump(mode="json")
    found: dict[str, Any] = {"task": case.task.value, "text": case.features.text, "time_zone": case.time_zone}
    found |= {name: source.get(name) for name in LOOKED_AT}
    found["encoding"] = {"iso-8859-1": "windows-1252"}.get(found["encoding"], found["encoding"])  # the same letters
    for name, cell in source["cells"].items():
        stated = {"type": cell} if isinstance(cell, str) else dict(cell)
        kind = stated["type"]
        stated["type"] = "number" if kind in NUMBERS else "words" if kind in {"string", "boolean"} else kind
        found[f"cells.{name}"] = stated
    return found
