"""What `doubled_rows` refuses."""

from __future__ import annotations

import pandas as pd

from tests.tasks.stages.monitoring.check_examples import broken_twin
from tests.tasks.stages.monitoring.samples import Windows, repeat_rows


@broken_twin("doubled_rows")
def make_twin(calm: Windows) -> Windows:
    rows = [calm.current, repeat_rows(calm.current[::2])]
    return calm.changed(current=pd.concat(rows, ignore_index=True))
