"""Values that several layers share mean the same everywhere."""

from __future__ import annotations

from tasks.contracts.predictions import COLD_PATHS, AnswerPath


def test_cold_paths_are_those_without_the_model() -> None:
    assert {path.value for path in AnswerPath if path.is_cold} == {"similar", "popular_in_segment", "popular"}
    assert {path.value for path in AnswerPath if not path.is_cold} == {"model", "published", "fold_in"}
    assert {path for path in AnswerPath if path.is_cold} == COLD_PATHS
