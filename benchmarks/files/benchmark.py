"""Files: are the kinds of files that people have read correctly, or refused by name? See docs/data.md."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.files.cells import measure_cells
from benchmarks.files.kinds import measure_kinds
from benchmarks.files.proposals import measure_proposals
from benchmarks.runner import Benchmark, Part

FEW_FILES = 2  # of each set, at the smallest size


@dataclass(frozen=True)
class Size:
    """`every`: every how many-th case is read."""

    every: int = 1


BENCHMARK = Benchmark(
    name="files",
    parts={
        "kinds": Part(measure_kinds, starts=("jvm",)),
        "proposals": Part(lambda size: measure_proposals(None if size.every == 1 else FEW_FILES)),
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
        "look_files": "files in the form of public data sets",
        "look_right": "share of them whose proposal needs no edit",
        "look_right_held_back": "share of the newest files; 5 of 8 needed no edit when they were first seen",
        "look_edits": "by file: how many lines of the proposal would have to be edited",
        "look_seconds": "mean time of a proposal, in seconds",
    },
)
