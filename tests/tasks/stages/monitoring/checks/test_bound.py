"""What `bound` refuses."""

from __future__ import annotations

from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows


@broken_twin("bound", figure="cold_share", at_most=0.3)
def make_twin(calm: Windows) -> Windows:
    return calm.changed(figures={"cold_share": 0.4})
