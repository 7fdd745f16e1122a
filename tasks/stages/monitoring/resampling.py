"""What differs between two windows by chance alone: the reference resampled by whole units.

Rows are not independent. The lines of one basket are of one customer, one day and one country, and a customer who buys twice
in a window buys alike twice. A unit is therefore what one user did within one span of the current window's length. Rows
without a user count by event, others by themselves. Both windows are drawn from the reference, as many units as each has,
so that a distance of the draws is a distance without drift. Sources: Davison and Hinkley, Bootstrap Methods and their
Application (1997), section 3.8, for whole units of hierarchical data; Hanley and MacGibbon (2006) for Poisson weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.stages.monitoring.bins import cut_into_bins

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 1_000  # an order statistic of n draws is exceeded by one share of n + 1: 0.001 is the smallest error
MAX_UNITS = 1_000  # that are drawn from; how much units differ is known well enough from as many


@dataclass(frozen=True)
class Draws:
    """Pairs of windows without drift, of one column. They are drawn when they are needed, which is where a threshold is passed.

    samples : values of the reference and of the current window.
    numbers : (rows,) the number of each row's unit, of the reference. units : how many units the two windows have in all.
    """

    samples: tuple[pd.Series, pd.Series]
    numbers: NDArray[np.intp]
    units: tuple[int, int]
    seed: int

    def draw(self) -> dict[str, tuple[NDArray[np.floating], NDArray[np.floating]]]:
        """Bin -> (draws,) rows in it, in the reference and in the current window."""
        kept = self.numbers < MAX_UNITS
        numbers, known = self.numbers[kept], min(int(self.numbers.max()) + 1, MAX_UNITS)
        codes, names = cut_into_bins(*self.samples)[0][kept].factorize()
        by_unit = np.bincount(numbers * len(names) + codes, minlength=known * len(names)).reshape(known, len(names))
        sides = []
        for weights in _draw_weights(known, self.units, self.seed):
            drawn = weights @ by_unit.astype(np.float32)
            drawn[drawn.sum(axis=1) == 0] = by_unit.sum(axis=0)  # a draw of no unit, of a window of few
            sides.append(drawn)
        return {name: (sides[0][:, place], sides[1][:, place]) for place, name in enumerate(names)}


def prepare_draws(
    samples: tuple[pd.DataFrame, pd.DataFrame], columns: list[str], unit: str, rows: tuple[int, int], seed: int
) -> dict[str, Draws]:
    """Draws of each column; none where a side is empty.

    Parameters
    ----------
    samples : whole units of the reference and of the current window, in an order that does not depend on the rows.
    unit : the column that names the unit of a row.
    rows : how many rows the sides have in all; their units are estimated from the samples.
    """
    before, now = samples
    if not len(before) or not len(now):
        return {}
    units = [max(1, round(side[unit].nunique() * total / len(side))) for side, total in zip(samples, rows, strict=True)]
    numbers = before[unit].factorize()[0]
    return {column: Draws((before[column], now[column]), numbers, (units[0], units[1]), seed) for column in columns}


@lru_cache(maxsize=2)  # the columns of a table share them
def _draw_weights(known: int, units: tuple[int, int], seed: int) -> tuple[NDArray[np.float32], ...]:
    """(draws, known units) how often each unit is drawn, for the reference and for the current window."""
    random = np.random.default_rng(seed)
    return tuple(random.poisson(count / known, (DRAWS, known)).astype(np.float32) for count in units)


def exceeded_by_chance(values: NDArray[np.floating], error: float) -> float:
    """The value that draws without drift exceed with at most this probability."""
    return float(np.quantile(values, 1 - error, method="higher"))
