"""Files: are the kinds of files that people have read correctly, or refused by name? See docs/data.md."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.files.cells import measure_cells
from benchmarks.files.kinds import measure_kinds
from benchmarks.look import benchmark as look
from benchmarks.runner import Benchmark, Figures, Part


@dataclass(frozen=True)
class Size:
    """`every`: every how many-th case is read."""

    every: int = 1


def measure_proposals(size: Size) -> Figures:
    """The share of proposals of `titleholder look` that need no edit."""
    return look.measure(look.BENCHMARK.full if size.every == 1 else look.BENCHMARK.smallest)


BENCHMARK = Benchmark(
    name="files",
    parts={
        "kinds": Part(measure_kinds, starts=("jvm",)),
        "proposals": Part(measure_proposals),
        "cells": Part(measure_cells, starts=("jvm",)),
    },
    full=Size(),
    smallest=Size(every=9),
    meaning={
        "files": "kinds of files, each with its right value or its right refusal written down first",
        "files_right": "of them, those that are read or refused so",
        "silent": "those that give other values without a word",
        "raw": "those that end with an error of another program",
        "wrong_table": "those that are not right",
        "cells": "random cells that were compared, over all paths and declarations",
        "cells_with_a_value": "cells that ingestion reads as a value",
        "normalization_difference": "cells that events, outcomes, batches or the endpoint read otherwise than ingestion",
        "normalization_table": "the first of them",
        **look.MEANING,
    },
)
