"""`python -m benchmarks.monitoring [part ...]`."""

from __future__ import annotations

import sys

from benchmarks.monitoring.benchmark import BENCHMARK
from benchmarks.runner import main

if __name__ == "__main__":
    main(sys.argv[1:], BENCHMARK)
