"""What `prediction_drift` refuses."""

from __future__ import annotations

from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows, make_scores


@broken_twin("prediction_drift", threshold=0.2)
def make_twin(calm: Windows) -> Windows:
    return calm.changed(scores=make_scores(len(calm.scores), 3, shift=1.0))
