"""Judging: evaluations, comparisons, gate results and verdicts."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from pydantic import Field

from tasks.contracts.base import Contract, Name
from tasks.contracts.data import DatasetRef
from tasks.contracts.training import Candidate, Population, Refit

MIN_UNITS, MIN_DIFFERING = 100, 20  # below, no gain is concluded: units, and units whose values differ between the models
MIN_UNITS_OVER_BASELINE = 50  # of a gain over the baseline: a first champion replaces no better one
MIN_UNITS_OF_A_LOSS, MIN_DIFFERING_OF_A_LOSS = (
    20,
    6,
)  # below, no loss is: of five that differ by chance, one in 32 is all losses


class Role(StrEnum):
    """The part that a model plays in a comparison. The values are stored in evaluations, and name aliases in MLflow."""

    CHALLENGER = "challenger"
    CHAMPION = "champion"
    BASELINE = "baseline"
    ANCHOR = "anchor"  # the former champion that the present one has lost most against


class Evaluation(Contract):
    """One model, re-scored on one holdout. `units` holds one row per user (or row, for tabular) with each metric's part."""

    subject: Role
    name: str
    model_uri: str
    holdout: DatasetRef
    metrics: dict[str, float]
    units: DatasetRef
    populations: tuple[Population, ...] = Field((), description="whom the metrics describe; none in older verdicts")


class Unscored(Contract):
    """A model that could not be scored on the holdout. It takes no part in the judging."""

    subject: Role
    name: str
    reason: str


class FailedCandidate(Contract):
    """A candidate whose training failed. The others of its run are judged without it."""

    name: Name
    reason: str


class Outcome(StrEnum):
    BETTER = "better"
    NOT_WORSE = "not_worse"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


class Comparison(Contract):
    """A paired difference, challenger minus champion, signed so that positive is better.

    `detectable` and `power` say which differences the holdout can show: a comparison without power proves nothing.
    """

    metric: str
    challenger: float
    champion: float
    difference: float
    low: float
    high: float
    confidence: float
    units: int
    min_units: int = Field(MIN_UNITS, description="from so many units on a gain is concluded")
    differing: int | None = Field(None, description="units whose values differ between the models; None in older verdicts")
    resamples: int
    outcome: Outcome
    opponent: Role = Field(Role.CHAMPION, description="whose value `champion` is")
    slice: str = Field("", description="of whom, such as new_users or segment=France; empty for all units")
    detectable: float | None = Field(None, description="true difference that would be called better in 4 of 5 such holdouts")
    effect: float | None = Field(None, description="the smallest difference that matters, where one is stated")
    power: float | None = Field(None, description="chance that a true difference of `effect` is called better")
    p_worse: float | None = Field(None, description="chance of such a loss if it were within the margin; Holm-corrected")
    p_better: float | None = Field(None, description="chance of such a gain if there were none; Holm-corrected")
    family: int = Field(1, ge=1, description="how many comparisons were corrected for together")


class Slice(Contract):
    """One part of the holdout, measured by one metric. The gates judge it and the model card shows it.

    `units` counts users or rows. `values` leaves out a model whose metric is not a number here.
    """

    name: str = Field(description="of whom, such as new_users or segment=France")
    metric: str
    units: int
    min_units: int = Field(description="with fewer units the slice is measured, but no gate judges it")
    values: dict[Role, float]
    comparison: Comparison | None = Field(None, description="challenger against champion; None where it was not compared")
    is_judged: bool = Field(False, description="whether a gate judged the comparison")


class JudgedHoldout(Contract):
    """What judges: days of labels or, where a split has no days, rows of a table."""

    as_of: date
    first_day: date | None = Field(None, description="of the labels; None for rows")
    end: date | None = Field(None, description="the day after the last one")
    rows: tuple[str, ...] = Field(
        (), description="the smallest hashes of its rows' ids, ascending; they show which rows are new"
    )


class PastJudging(Contract):
    """An earlier judging: its holdout, its alpha (0 without a champion), and what it found.

    p_better : chance of such a gain if there were none; None where nothing was compared, or the judging did not end.
    """

    holdout: JudgedHoldout
    alpha: float
    found_better: bool
    p_better: float | None = None


class Spending(Contract):
    """How often a holdout has judged, and the chance of a false promotion that this judging spends.

    alpha : one-sided, of calling a challenger better, or not worse, that is not; 0 without a champion. It is not paid for a
        challenger that turns out to be no match, and somewhat more for every other.
    """

    times: int = Field(ge=1, description="judgings that used days or rows of this holdout, this one included")
    alpha: float = Field(ge=0, le=1)
    spent: float = Field(ge=0, description="all that the use case has paid, this judging included")
    wealth: float = Field(ge=0, description="what is left for the next judging, before new labels add to it")
    new_share: float = Field(ge=0, le=1, description="share of the holdout that never judged before")

    def describe(self) -> str:
        """One sentence for reports."""
        if self.alpha == 0:
            return f"the holdout has judged {self._times()}; without a champion no alpha is spent"
        return (
            f"the holdout has judged {self._times()}, {self.new_share:.0%} of it is new; this judging spends an alpha of "
            f"{self.alpha:.2g}, {self.spent:.2g} in all"
        )

    def _times(self) -> str:
        return "once" if self.times == 1 else f"{self.times} times"


class GateMode(StrEnum):
    DISABLED = "disabled"
    DRY_RUN = "dry_run"
    ENABLED = "enabled"


class GateResult(Contract):
    gate: Name
    mode: GateMode
    passed: bool
    reason: str
    is_judged: bool = Field(True, description="False where there was nothing to judge, such as no champion to compare with")
    figures: dict[str, float] = Field({}, description="what the gate measured, by name")
    comparisons: tuple[Comparison, ...] = Field((), description="what it judged one by one, such as slices")


class SetResult(Contract):
    """What a test set shows. It is reported beside the holdout, and no gate judges it."""

    name: Name
    rows: int
    values: dict[Role, dict[str, float]] = Field(description="the metrics of each model that could be scored")


class Verdict(Contract):
    """What the gates said of the chosen candidate. `passed` is True only if no enabled gate refused."""

    use_case: Name
    candidate: Candidate
    champion_version: int | None
    evaluations: tuple[Evaluation, ...]
    comparisons: tuple[Comparison, ...]
    gates: tuple[GateResult, ...]
    slices: tuple[Slice, ...] = Field((), description="what the gates judged; where no gate judges slices, the default ones")
    weak_segments: tuple[Slice, ...] = Field((), description="where the challenger is weakest, over all columns; worst first")
    passed: bool
    outcome: Outcome | None = Field(description="against the champion; None where there is none, or it could not be scored")
    spending: Spending | None = Field(None, description="of alpha; None in older verdicts")
    unscored: tuple[Unscored, ...] = Field((), description="the models beside the challenger that could not be scored")
    failed: tuple[FailedCandidate, ...] = Field((), description="the candidates of the training that failed")

    test_sets: tuple[SetResult, ...] = ()
    refit: Refit | None = Field(None, description="the model that serves; None where the use case serves the judged one")

    @property
    def served_uri(self) -> str:
        """The address of the model that serves: the refitted one where there is one."""
        return self.refit.model_uri if self.refit and self.refit.model_uri else self.candidate.model_uri

    @property
    def served_digest(self) -> str:
        """The manifest's digest of the model that serves."""
        return self.refit.manifest_digest if self.refit and self.refit.manifest_digest else self.candidate.manifest_digest

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was refused; empty when it passed."""
        return tuple(f"{g.gate}: {g.reason}" for g in self.gates if not g.passed and g.mode is GateMode.ENABLED)

    @property
    def lost_champion(self) -> str:
        """Why the champion could not be scored; empty where it was scored, or where there is none.

        The challenger was then judged as a first one, and no policy may promote it: a person must.
        """
        return next((one.reason for one in self.unscored if one.subject is Role.CHAMPION), "")
