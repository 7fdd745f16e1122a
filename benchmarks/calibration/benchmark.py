"""Calibration: what probabilities promise all known users, and what is delivered. See docs/gates.md."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.calibration.ratios import measure_calibration_ratios
from benchmarks.runner import Benchmark, Figures, Part


@dataclass(frozen=True)
class Size:
    """The shops of the generator: their seeds, their days, and how many windows are answered in each."""

    seeds: tuple[int, ...] = (7, 11, 13, 17)
    days: int = 212
    cohorts: int = 4


def measure_ratios(size: Size) -> Figures:
    """Promised over delivered purchases of three kinds of models."""
    overall, silent = measure_calibration_ratios(size.seeds, size.days, size.cohorts)
    ratios = [row["ratio"] for row in overall.values()]
    return {
        "calibration_ratio_low": min(ratios),
        "calibration_ratio_high": max(ratios),
        "calibration_table": overall,
        "silent_table": silent,
    }


BENCHMARK = Benchmark(
    name="calibration",
    parts={"ratios": Part(measure_ratios)},
    full=Size(),
    smallest=Size(seeds=(7,), days=100, cohorts=1),
    meaning={
        "calibration_ratio_low": "promised over delivered purchases of all known users, the lowest of three kinds of models",
        "calibration_ratio_high": "the same, the highest; both between 0.9 and 1.1",
        "calibration_table": "generated shops, all cohorts together: each kind of model, and its lowest and highest cohort",
        "silent_table": "the same of customers who had bought nothing for 60 days",
    },
)
