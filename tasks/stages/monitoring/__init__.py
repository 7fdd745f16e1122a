"""The room that watches: how far is this window from what the champion learned, and is it time to train again?"""

from tasks.stages.monitoring.decision import RetrainPolicy, decide_retrain, find_lost, find_undecided
from tasks.stages.monitoring.labels import LabelPolicy, publish_exposures
from tasks.stages.monitoring.report import Cohort, Side, monitor, recent
from tasks.stages.monitoring.windows import look

__all__ = [
    "Cohort",
    "LabelPolicy",
    "RetrainPolicy",
    "Side",
    "decide_retrain",
    "find_lost",
    "find_undecided",
    "look",
    "monitor",
    "publish_exposures",
    "recent",
]
