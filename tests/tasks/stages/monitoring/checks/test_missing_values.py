"""What `missing_values` refuses."""

from __future__ import annotations

from tasks.columns import SEGMENT, UNIT_PRICE
from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows


@broken_twin("missing_values", columns=[UNIT_PRICE, SEGMENT])
def make_twin(calm: Windows) -> Windows:
    for column in (UNIT_PRICE, SEGMENT):
        rows = calm.current
        calm = calm.changed(current=rows.assign(**{column: rows[column].where(rows.index % 2 == 0)}))
    return calm
