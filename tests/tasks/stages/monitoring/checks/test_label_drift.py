"""What `label_drift` refuses."""

from __future__ import annotations

from tasks.columns import QUANTITY
from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows, move_everything


@broken_twin("label_drift", column=QUANTITY, threshold=0.2)
def make_twin(calm: Windows) -> Windows:
    return move_everything(calm)
