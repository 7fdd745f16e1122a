"""What happened in a demo: one line for each step, done, not possible with these data, or failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.markup import escape
from rich.table import Table

from tasks.errors import TitleholderError


class NotPossible(TitleholderError):
    """The data did not allow a step: what it shows did not happen, and nothing is broken."""


class State(StrEnum):
    """What became of a step."""

    DONE = "done"  # a fact that was read back after it proves that it happened
    NOT_POSSIBLE = "not possible"
    FAILED = "failed"


_MARKS = {State.DONE: "[green]✓[/]", State.NOT_POSSIBLE: "[yellow]○[/]", State.FAILED: "[red]✗[/]"}


@dataclass
class Step:
    """One line of the table at the end."""

    name: str
    outcome: str = ""
    where: str = ""
    seconds: float = 0.0
    state: State = State.FAILED

    @property
    def mark(self) -> str:
        return _MARKS[self.state]


def summarize(steps: Sequence[Step]) -> str:
    """How many steps happened, and why the others did not."""
    done = sum(step.state is State.DONE for step in steps)
    said = f"{done} of {len(steps)} steps"
    for state in (State.NOT_POSSIBLE, State.FAILED):
        those = [step for step in steps if step.state is state]
        if those:
            said += f", {len(those)} {state}: " + "; ".join(f"{step.name} ({step.outcome})" for step in those)
    return said


def make_table(steps: Sequence[Step], seconds: float, home: str) -> Table:
    """All steps with their outcomes."""
    table = Table(title="What happened", title_justify="left")
    for name in ("step", "outcome", "seconds", "where to look"):
        table.add_column(name, justify="right" if name == "seconds" else "left", overflow="fold")
    for step in steps:
        outcome = f"not possible: {step.outcome}" if step.state is State.NOT_POSSIBLE else step.outcome
        table.add_row(f"{step.mark} {step.name}", escape(outcome), f"{step.seconds:.1f}", step.where)
    done, impossible = (sum(step.state is state for step in steps) for state in (State.DONE, State.NOT_POSSIBLE))
    counted = f"{done} of {len(steps)} steps" + (f", {impossible} not possible" if impossible else "")
    table.add_section()
    table.add_row("total", counted, f"{seconds:.1f}", home)
    return table
