"""Support vector machines: the limit of rows."""

from __future__ import annotations

import pytest

from tasks.errors import NotEnoughData
from tasks.models.base import Examples
from tasks.models.support_vectors import KernelSvm
from tests.tasks.models.checkerboard import rows


def test_kernel_svm_refuses_too_many_rows() -> None:
    with pytest.raises(NotEnoughData, match=r"max_rows allows 100, got 200"):
        KernelSvm(max_rows=100).fit(Examples(rows=rows()), Examples(), 7)
