"""The stage that compares each window with what the champion learned, and decides about retraining."""

from tasks.stages.monitoring.decision import RetrainHistory, RetrainPolicy, decide_retrain, find_lost, find_undecided
from tasks.stages.monitoring.exposures import publish_exposures
from tasks.stages.monitoring.labels import LabelPolicy
from tasks.stages.monitoring.quality import Cohort
from tasks.stages.monitoring.report import Side, WindowPair, monitor, recent
from tasks.stages.monitoring.windows import AnswerRecords, MonitoringTerms, monitor_window

__all__ = [
    "AnswerRecords",
    "Cohort",
    "LabelPolicy",
    "MonitoringTerms",
    "RetrainHistory",
    "RetrainPolicy",
    "Side",
    "WindowPair",
    "decide_retrain",
    "find_lost",
    "find_undecided",
    "monitor",
    "monitor_window",
    "publish_exposures",
    "recent",
]
