"""The stage of proposals: a sample of a source -> the use case and the suite that it suggests, with their doubts."""

from __future__ import annotations

from tasks.contracts.base import TaskKind
from tasks.contracts.samples import Sample
from tasks.errors import SourceError
from tasks.stages.proposal.columns import describe_column
from tasks.stages.proposal.documents import Proposal, make_proposal
from tasks.stages.proposal.roles import Doubt, Roles, assign_roles

__all__ = ["Doubt", "Proposal", "Roles", "propose"]


def propose(
    sample: Sample, name: str, *, task: TaskKind | None = None, target: str | None = None, time_zone: str | None = None
) -> Proposal:
    """The use case that a sample suggests, and the suite with the rules that are special to it.

    Parameters
    ----------
    name : of the use case.
    task, target, time_zone : what a person says; None: it is looked for.

    Raises
    ------
    SourceError : nothing can be learned from these columns: says which were looked for.
    """
    if not sample.rows:
        raise SourceError(f"{sample.place}: there are no rows to look at")
    if target is not None and target not in sample.cells:
        raise SourceError(f"{sample.place}: no column {target!r}; there are: {', '.join(map(repr, sample.cells))}")
    columns = [describe_column(column, cells, sample.types.get(column, "")) for column, cells in sample.cells.items()]
    delimiter = str(sample.source.get("delimiter", ",")) if sample.source.get("format") == "csv" else ""
    roles = assign_roles(columns, sample.cells, delimiter=delimiter, task=task, target=target)
    if isinstance(roles, str):
        found = ", ".join(f"{one.name} ({one.kind})" for one in columns)
        raise SourceError(f"{sample.place}: {roles}. The columns are: {found}")
    return make_proposal(sample, name, columns, roles, time_zone)
