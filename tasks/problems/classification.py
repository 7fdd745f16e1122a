"""The problem of binary classification: the probability that a row is of class 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.metrics import Metric, Scored
from tasks.metrics.families import FAMILIES, Shape
from tasks.metrics.scoring import score_rows
from tasks.models.base import Examples, ServedModel
from tasks.models.encoding import text_columns
from tasks.models.folds import make_folds
from tasks.models.tabular import feature_columns
from tasks.problems.base import Defaults, Problem, Round
from tasks.problems.thresholds import ACCURACY, F1, choose_threshold, threshold_of_costs
from tasks.problems.wording import PROBABILITY_AXES, GainAxes, Wording


class Classification(Problem):
    """Rows with a target of 0 or 1."""

    task: ClassVar[TaskKind] = TaskKind.CLASSIFICATION
    unit: ClassVar[str] = "rows"
    plots: ClassVar[tuple[str, ...]] = ("roc", "calibration")
    min_rounds: ClassVar[int] = 2
    measures_fit: ClassVar[bool] = True
    defaults: ClassVar[Defaults] = Defaults(
        suite="tables",
        candidates=("prior", "logistic_regression", "gradient_boosting"),
        metrics=("log_loss", "roc_auc", "pr_auc", "accuracy", "calibration_error"),
        effect=0.02,
    )
    wording: ClassVar[Wording] = Wording(
        label="class",
        labels="rows",
        errors="Accuracy by class, at the threshold of each model",
        cases="The ten worst rows",
        case_columns=("row", "prediction", "label", "most unusual features"),
        gain=GainAxes("Cumulative gain", "rows taken, highest prediction first", "share of class 1 found"),
        calibration=PROBABILITY_AXES,
    )

    def complete_terms(self, terms: ScoringTerms, train: Examples) -> ScoringTerms:
        """The terms with the feature columns of the training rows."""
        if train.rows is None:
            return terms
        columns = feature_columns(train.rows)
        return terms.model_copy(update={"row_columns": columns, "text_columns": text_columns(train.rows, columns)})

    def make_rounds(self, windows: Sequence[Examples], count: int, seed: int) -> list[Round]:
        """Folds of the first window, cut as the split is. The validation window stays unused: it chooses among candidates.

        There are fewer than `count` rounds where the rows do not allow more.
        """
        rows = windows[0].rows
        if rows is None:
            return []
        taken = [
            tuple(replace(windows[0], rows=rows.iloc[part].reset_index(drop=True)) for part in fold)
            for fold in make_folds(rows, count, seed)
        ]
        return [Round(learn, Examples(), judged) for learn, judged in taken]

    def earlier_cuts(self, windows: Sequence[Examples], count: int, seed: int) -> list[Round]:
        """Cuts of the first window."""
        return self.make_rounds(windows, count, seed)

    def spark_history(self, windows: Sequence[Examples]) -> Examples:
        """The rows of the first window."""
        return windows[0]

    def calibrate(self, model: ServedModel, validation: Examples, terms: ScoringTerms) -> None:
        """Set the model's `class_threshold`: by the costs of mistakes, else the best one for accuracy where this is the
        primary metric, else for f1, on the validation rows."""
        if terms.costs is not None:
            model.class_threshold = threshold_of_costs(terms.costs)
        elif validation.rows is not None and len(validation.rows):
            metric = ACCURACY if terms.metrics[:1] == (ACCURACY,) else F1
            label = validation.rows[c.TARGET].to_numpy(np.float64)
            model.class_threshold = choose_threshold(model.predict_rows(validation.rows), label, metric)

    def hangs_on_calibration(self, metric: Metric) -> bool:
        """Whether it is of classes, which the threshold tells."""
        return FAMILIES[metric.family].shape is Shape.CLASSES

    def halve(self, examples: Examples, seed: int) -> list[tuple[Examples, Examples]]:
        """Rows with the same share of each class, whole groups; where their moments do not matter, for one number is chosen."""
        if examples.rows is None:
            return []
        rows = examples.rows.drop(columns=c.SPLIT_ORDER, errors="ignore")
        return [
            (
                replace(examples, rows=rows.iloc[one].reset_index(drop=True)),
                replace(examples, rows=rows.iloc[other].reset_index(drop=True)),
            )
            for one, other in make_folds(rows, 2, seed)
        ]

    def measure_label(self, predicted: Floats, label: float) -> float:
        """The share of correct classes; `predicted` are classes."""
        return float(((predicted >= 0.5) == (label > 0.5)).mean())

    def score(self, model: ServedModel, examples: Examples, terms: ScoringTerms) -> Scored:
        """Measure the probability of every row."""
        return score_rows(model, examples, self.metrics_of(terms))
