"""The room that watches: how far is this window from what the champion learned, and is it time to train again?"""

from tasks.monitoring.decision import RetrainPolicy, decide_retrain, find_lost, find_undecided
from tasks.monitoring.report import monitor, recent

__all__ = ["RetrainPolicy", "decide_retrain", "find_lost", "find_undecided", "monitor", "recent"]
