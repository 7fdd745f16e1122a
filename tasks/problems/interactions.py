"""What problems of users and items share: windows in time, and units that are users."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tasks import columns as c
from tasks.metrics.scoring import read_interactions
from tasks.models.base import Examples
from tasks.problems.base import Problem, Round

if TYPE_CHECKING:
    import pandas as pd


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

    def halve(self, examples: Examples, seed: int) -> list[tuple[Examples, Examples]]:
        """Users, of whom half of those with a label are on each side."""
        features, labels = read_interactions(examples)
        users = features.users[c.USER_ID]
        has_label = users.isin(labels[c.USER_ID]).to_numpy()
        drawn = np.random.default_rng(seed).permutation(len(users))
        order = drawn[np.argsort(has_label[drawn], kind="stable")]
        if has_label.sum() < 2:
            return []
        one, other = (_of_users(examples, features.users.iloc[np.sort(order[start::2])]) for start in (0, 1))
        return [(one, other), (other, one)]

    def spark_history(self, windows: Sequence[Examples]) -> Examples:
        """What was known on the first day of the newest window."""
        return Examples(features=windows[-1].features)


def _of_users(examples: Examples, users: pd.DataFrame) -> Examples:
    """The examples of some users. All pairs and items stay, so that models answer as before."""
    features, labels = read_interactions(examples)
    kept = labels[labels[c.USER_ID].isin(users[c.USER_ID])]
    own = replace(features, users=users.reset_index(drop=True))
    return replace(examples, features=own, labels=kept.reset_index(drop=True))
