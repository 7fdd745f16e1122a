"""Proposals of `titleholder look` for files in the form of public data sets, compared with what was written down as right."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.look.comparing import judge
from benchmarks.look.files import FILES, PublicFile
from benchmarks.look.held_back import HELD_BACK
from benchmarks.runner import Benchmark, Figures, Part

MEANING = {
    "look_files": "files in the form of public data sets",
    "look_right": "share of them whose proposal needs no edit",
    "look_right_held_back": "share of the newest files; 5 of 8 needed no edit when they were first seen",
    "look_edits": "by file: how many lines of the proposal would have to be edited",
    "look_seconds": "mean time of a proposal, in seconds",
}


@dataclass(frozen=True)
class Size:
    """How many files of each set are looked at."""

    files: int


def measure(size: Size) -> Figures:
    """The share of proposals that need no edit."""
    began = time.perf_counter()
    seen, held_back = _judge_all(FILES[: size.files]), _judge_all(HELD_BACK[: size.files])
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


BENCHMARK = Benchmark(
    name="look",
    parts={"proposals": Part(measure)},
    full=Size(files=1000),
    smallest=Size(files=2),
    meaning=MEANING,
)
