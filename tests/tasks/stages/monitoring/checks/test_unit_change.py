"""What `unit_change` refuses."""

from __future__ import annotations

from tasks.columns import UNIT_PRICE
from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows


@broken_twin("unit_change", columns=[UNIT_PRICE])
def make_twin(calm: Windows) -> Windows:
    return calm.changed(current=calm.current.assign(**{UNIT_PRICE: calm.current[UNIT_PRICE] * 2.54}))
