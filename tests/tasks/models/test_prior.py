"""The prior: the share of class 1."""

from __future__ import annotations

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.models.prior import Prior
from tests.tasks.models.checkerboard import checkerboard


def test_prior_is_the_share_of_class_1() -> None:
    examples = checkerboard(TaskKind.CLASSIFICATION)
    assert examples.rows is not None
    found = Prior().fit(examples, examples, 7).predict_rows(examples.rows[:3])
    assert found.tolist() == [examples.rows[c.TARGET].mean()] * 3
