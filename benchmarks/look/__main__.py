"""`python -m benchmarks.look [part ...]`."""

from __future__ import annotations

import sys

from benchmarks.look.benchmark import BENCHMARK
from benchmarks.runner import main

if __name__ == "__main__":
    main(sys.argv[1:], BENCHMARK)
