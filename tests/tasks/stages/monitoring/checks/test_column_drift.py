"""What `column_drift` refuses."""

from __future__ import annotations

from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import COLUMNS, Windows, move_everything


@broken_twin("column_drift", columns=list(COLUMNS), threshold=0.2)
def make_twin(calm: Windows) -> Windows:
    return move_everything(calm)
