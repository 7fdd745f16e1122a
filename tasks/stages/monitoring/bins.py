"""The bins into which two samples are cut before they are compared: few, and defined by the reference alone.

Numbers are cut at quantiles of the reference, because bins of equal width leave everything in one bin as soon as one value
is far out. Categories keep the most frequent ones of the reference. There are three more bins: `(missing)`, `(other)`
for known but rarer categories, and `(new)` for what the reference does not know.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MISSING, OTHER, NEW = "(missing)", "(other)", "(new)"
MAX_QUANTILES = 10
MAX_CATEGORIES = 50
ROWS_PER_BIN = 20
ROWS_PER_CATEGORY = 5


def cut_into_bins(reference: pd.Series, current: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Both samples as names of bins, in their order.

    There are at most 10 quantile bins or 50 categories, and no more than one for every 20 values of the smaller sample:
    without any drift the expected PSI of b bins of n and m values is (b - 1) * (1/n + 1/m), so that it stays near 0.1 or
    below, and Jensen-Shannon near its square root over 2.8, 0.11, or below. A category is expected 5 times at least in the
    smaller sample, because one that is missing by chance counts far more than that.
    """
    smaller = min(len(reference), len(current))
    if is_cut_at_quantiles(reference, smaller):
        return _cut_numbers(reference, current, *find_edges(reference, smaller))
    most, times = category_limits(len(reference), smaller)
    return _cut_categories(reference, current, most, times)


def is_cut_at_quantiles(reference: pd.Series, smaller: int) -> bool:
    """Whether these are numbers with more different values than there would be bins."""
    import pandas as pd

    is_number = pd.api.types.is_numeric_dtype(reference) and not pd.api.types.is_bool_dtype(reference)
    return bool(is_number and reference.nunique() > min(MAX_QUANTILES, smaller // ROWS_PER_BIN))


def category_limits(reference_rows: int, smaller: int) -> tuple[int, float]:
    """How many categories stand for themselves at most, and how often the reference must have one."""
    times = max(2, ROWS_PER_CATEGORY * reference_rows / max(1, smaller))
    return min(MAX_CATEGORIES, max(1, smaller // ROWS_PER_BIN)), times


def find_edges(reference: pd.Series, smaller: int) -> tuple[list[float], list[str]]:
    """Edges, of bins (edge, next edge], and the bins' names, one more than edges.

    A value that takes up a whole quantile is a bin of its own, with bins below and above it even if those are empty.
    """
    import numpy as np

    most = min(MAX_QUANTILES, max(2, smaller // ROWS_PER_BIN))
    known = reference.dropna().to_numpy(dtype=float)
    quantiles, times = np.unique(np.quantile(known, np.arange(1, most) / most, method="inverted_cdf"), return_counts=True)
    heavy = quantiles[times > 1]
    edges = np.unique(np.concatenate([quantiles, np.nextafter(heavy, -np.inf)]))
    names = [f"to {edges[0]:.4g}"]
    for low, high in pairwise(edges):
        names.append(f"{high:.4g}" if high in heavy and np.nextafter(high, -np.inf) == low else f"over {low:.4g} to {high:.4g}")
    return edges.tolist(), [f"{place}: {name}" for place, name in enumerate([*names, f"over {edges[-1]:.4g}"], start=1)]


def _cut_numbers(reference: pd.Series, current: pd.Series, edges: list[float], names: list[str]) -> tuple[pd.Series, pd.Series]:
    import numpy as np
    import pandas as pd

    def cut(values: pd.Series) -> pd.Series:
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        places = np.searchsorted(edges, numbers, side="left")
        places[np.isnan(numbers)] = len(names)
        return pd.Series(np.array([*names, MISSING], dtype=object)[places])

    return cut(reference), cut(current)


def _cut_categories(reference: pd.Series, current: pd.Series, most: int, times: float) -> tuple[pd.Series, pd.Series]:
    """The `most` frequent categories that the reference has at least `times` times stand for themselves.

    A reference value that occurs once counts as `(new)` too. It is the estimate of new values from the
    reference (Good and Turing's estimate), so that a long tail of rare items, of which any two samples hold different ones,
    is no drift.
    """
    reference, current = _name(reference), _name(current)
    counts = reference.dropna().value_counts()
    order = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    frequent = {name for name, count in order[:most] if count >= times}
    once = {name for name, count in order if count == 1}
    known = set(counts.index)

    def cut(values: pd.Series, unknown: set[Any]) -> pd.Series:
        cut_values = values.where(values.isin(frequent), OTHER).mask(values.isin(unknown), NEW)
        return cut_values.mask(values.isna(), MISSING).reset_index(drop=True)

    return cut(reference, once), cut(current, set(current.dropna()) - known)


def _name(values: pd.Series) -> pd.Series:
    """Values as text: numbers in their shortest form, so that 1 and 1.0 are one category."""
    import pandas as pd

    def name(value: Any) -> str:
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        values = values.astype("float64")
    return values.astype(object).map(name, na_action="ignore")
