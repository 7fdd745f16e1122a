"""`python -m benchmarks.backtest [part ...]`."""

from __future__ import annotations

import sys

from benchmarks.backtest.benchmark import BENCHMARK
from benchmarks.runner import main

if __name__ == "__main__":
    main(sys.argv[1:], BENCHMARK)
