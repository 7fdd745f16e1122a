"""A process of a backtest, with settings of its own (see `isolation`): replays one policy, or writes the report."""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.backtest.journal import read_journal
from tasks.backtest.plan import Plan, policy_folder, read_plan
from tasks.backtest.replay import Progress, Replay
from tasks.backtest.report import write_report
from tasks.backtest.sharing import makes_the_same
from tasks.io.storage import Storage
from tasks.stages.ingestion.worlds import make_world
from tasks.use_case import load_use_case

REPLAY, REPORT = "replay", "report"


def replay(folder: Path, name: str, endpoint_command: Sequence[str]) -> None:
    """Replay the policy of a name, and print one line of JSON for each window.

    Of two processes of one policy the second waits until the first has ended: a killed command may leave its process for the
    rest of a window.
    """
    plan = read_plan(folder)
    policy = next(one for one in plan.policies if one.name == name)
    world = make_world(plan.world, plan.start, plan.seed) if plan.world else None
    own = policy_folder(folder, name)
    with (own / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        donor = _find_donor(folder, plan, name)
        Replay(plan, policy, own, world, donor, endpoint_command).run(_tell_progress)


def _find_donor(folder: Path, plan: Plan, name: str) -> Storage | None:
    """The snapshots of an earlier policy that makes the same ones, and has ended."""
    mine = load_use_case(plan.use_case)
    for other in plan.policies:
        if other.name == name:
            return None
        theirs = policy_folder(folder, other.name)
        if read_journal(theirs).is_done and makes_the_same(load_use_case(plan.use_case, theirs / "use_cases"), mine):
            return Storage(theirs / "home" / "data")
    return None


def _tell_progress(progress: Progress) -> None:
    record, decision = progress.record, progress.record.decision
    _print(
        {
            "policy": progress.policy,
            "place": progress.place,
            "windows": progress.windows,
            "window": record.window.label,
            "decision": "history" if record.is_history else "not made" if decision is None else decision["cause"],
            "champion": record.champion,
            "seconds_left": progress.seconds_left,
        }
    )


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    place, of_policy, task = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if task == REPLAY:
        replay(place, of_policy, sys.argv[4:])
    else:
        _print({"address": write_report(place)})
