"""What problems of users and items share: windows in time, and units that are users."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

from tasks.models.base import Examples
from tasks.problems.base import Problem, Round


class InteractionProblem(Problem, ABC):
    """Users met items. Features are as of a day, and labels are what happened in the window after it."""

    unit: ClassVar[str] = "users"

    def earlier_windows(self, rounds: int) -> int:
        """The newest round uses the train and validation windows; each other one needs an earlier window."""
        return rounds - 1

    def make_rounds(self, windows: Sequence[Examples], count: int, seed: int) -> list[Round]:
        """Of each two consecutive windows, the later one measures what was learned before it.

        The newest round measures on the validation window. There are fewer than `count` rounds where the history is short.
        """
        return [Round(before, Examples(features=after.features), after) for before, after in pairwise(windows[-(count + 1) :])]

    def earlier_cuts(self, windows: Sequence[Examples], count: int, seed: int) -> list[Round]:
        """Of each two consecutive windows, the later one measures; the newest two are left out."""
        return self.make_rounds(windows[:-1], count, seed)

    def spark_history(self, windows: Sequence[Examples]) -> Examples:
        """What was known on the first day of the newest window."""
        return Examples(features=windows[-1].features)
