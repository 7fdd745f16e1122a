"""What `missing_days` refuses."""

from __future__ import annotations

from tasks.columns import EVENT_AT
from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows


@broken_twin("missing_days")
def make_twin(calm: Windows) -> Windows:
    wednesday = calm.current[EVENT_AT].dt.weekday == 2
    return calm.changed(current=calm.current[~wednesday].reset_index(drop=True))
