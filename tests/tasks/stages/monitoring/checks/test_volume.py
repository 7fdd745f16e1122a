"""What `volume` refuses."""

from __future__ import annotations

from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows


@broken_twin("volume")
def make_twin(calm: Windows) -> Windows:
    return calm.changed(current=calm.current[: len(calm.current) // 8])
