"""What `frozen_rows` refuses."""

from __future__ import annotations

from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows, repeat_rows


@broken_twin("frozen_rows")
def make_twin(calm: Windows) -> Windows:
    assert calm.previous is not None
    return calm.changed(current=repeat_rows(calm.previous, 7))
