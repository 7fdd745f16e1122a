"""The registry of metrics: what a name means, which tasks it fits.

To add one: one function in `ranking`, `lists`, `rating` or `classification`, and its line in `names.FAMILIES`.
"""

from tasks.metrics.names import UNIT, WEIGHT, Metric, allowed_metrics, get_metric
from tasks.metrics.scoring import PROBABILITY, USER_COVERAGE, Scored

__all__ = ["PROBABILITY", "UNIT", "USER_COVERAGE", "WEIGHT", "Metric", "Scored", "allowed_metrics", "get_metric"]
