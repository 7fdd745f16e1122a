"""Raw scores -> probabilities by one logistic curve (Platt 1999)."""

from __future__ import annotations

import numpy as np

from tasks.contracts.arrays import Floats


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) of each value, without overflow; same shape as `logits`."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0))), dtype=np.float64)


def fit_curve(raw: Floats, label: Floats) -> tuple[float, float]:
    """Slope and intercept of sigmoid(slope * raw + intercept), fitted to scores of rows that the model did not learn from.

    The labels count as (positives + 1) / (positives + 2) and 1 / (negatives + 2), as in Platt's paper: scores that part the
    classes perfectly still give no certainty. If the scores have no information (one class only, all equal, or higher scores
    with fewer positives), the curve is flat at the share of the label, with one more of each class.

    Parameters
    ----------
    raw : (rows,), scores.
    label : (rows,), 1.0 for class 1, else 0.0.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    positives, rows = float(label.sum()), len(label)
    share = (positives + 1.0) / (rows + 2.0)
    flat = (0.0, float(np.log(share / (1.0 - share))))
    spread = float(raw.std()) if rows else 0.0
    if not 0.0 < positives < rows or spread < 1e-12:
        return flat
    centre = float(raw.mean())
    hoped = np.where(label > 0.5, (positives + 1.0) / (positives + 2.0), 1.0 / (rows - positives + 2.0))
    scores = np.r_[raw, raw]
    with threadpool_limits(1):
        curve = LogisticRegression(C=1e6).fit(
            ((scores - centre) / spread)[:, None], np.repeat([1, 0], rows), sample_weight=np.r_[hoped, 1.0 - hoped]
        )
    slope = float(curve.coef_[0, 0]) / spread
    return (slope, float(curve.intercept_[0]) - slope * centre) if slope > 0.0 else flat
