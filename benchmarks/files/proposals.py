"""Proposals of `titleholder look` for files in the form of public data sets, compared with what was written down as right."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.files.comparing import judge
from benchmarks.files.public import FILES, HELD_BACK, PublicFile
from benchmarks.runner import Figures


def measure_proposals(most: int | None = None) -> Figures:
    """The share of proposals that need no edit.

    Parameters
    ----------
    most : how many files of each set are looked at; None: all.
    """
    began = time.perf_counter()
    seen, held_back = _judge_all(FILES[:most]), _judge_all(HELD_BACK[:most])
    edits = seen | held_back
    return {
        "look_files": len(edits),
        "look_right": _share_right(edits),
        "look_right_held_back": _share_right(held_back),
        "look_edits": {name: {"edits": len(found), "first": found[0] if found else ""} for name, found in edits.items()},
        "look_seconds": (time.perf_counter() - began) / len(edits),
    }


def _judge_all(files: Sequence[PublicFile]) -> dict[str, list[str]]:
    return {file.name: judge(file) for file in files}


def _share_right(edits: dict[str, list[str]]) -> float:
    return sum(not found for found in edits.values()) / len(edits)
