"""How a model card names the labels, the curves and the errors of one kind of task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GainAxes:
    """Title and axis labels of the cumulative gain. `is_ranked`: by the place in a list, not by the share of all rows."""

    title: str
    x_label: str
    y_label: str
    is_ranked: bool = False
    note: str = ""


@dataclass(frozen=True)
class Wording:
    """The words of one kind of task.

    Attributes
    ----------
    label : one value of a label, before the value itself: "class 1".
    labels : what labels are, in the plural.
    errors : title of the errors by label.
    cases : title of the worst units; `case_columns` names the columns that describe each.
    gain : title and axes of the cumulative gain.
    calibration : labels of the axes of the calibration curve, predicted and observed; None where there is no curve.
    are_shares : whether the errors by label are shares, shown in percent.
    no_calibration : why there is no calibration curve.
    """

    label: str
    labels: str
    errors: str
    cases: str
    case_columns: tuple[str, ...]
    gain: GainAxes
    calibration: tuple[str, str] | None
    are_shares: bool = True
    no_calibration: str = ""


PROBABILITY_AXES = ("predicted probability, mean of each tenth", "observed share")
