"""The code inside the promoting processes of `promotion_faults`: the real promotion, counted by steps and killed at one.

Imported once by the fork server, so that each process of a harness starts with everything loaded.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import date
from inspect import CO_GENERATOR
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import FrameType
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # its thread would not survive the fork

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import pandas as pd
from sqlalchemy import Engine, event

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Evaluation, GateMode, GateResult, Role, Verdict
from tasks.contracts.promotion import Action, Approval, LedgerEntry, Trust
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.errors import PromotionRefused
from tasks.io import endpoint, ledger, tracking
from tasks.io.endpoint import await_version
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage, frame_writer
from tasks.jobs.training import register_verdict
from tasks.models.base import save_model
from tasks.models.popularity import PopularityModel
from tasks.settings import get_settings
from tasks.stages.registry import follow_ledger, promote, version_of
from tests.tasks import synthetic_classification

SHOP = "shop"
ADAPTERS = {module.__file__ for module in (ledger, tracking, endpoint)}
Promote = Callable[[Approval, str, Ledger], LedgerEntry]


def enter(folder: Path, variables: dict[str, str]) -> None:
    """Make this process one of the installation in a folder."""
    os.chdir(folder)  # MLflow's SQL store puts artifacts under ./mlruns
    os.environ.update(variables)
    get_settings.cache_clear()


# steps


class Steps:
    """Counts the steps by which a promotion reaches other systems and dies by SIGKILL at one of them.

    A step is each call of an adapter's function and each return from it, each statement that writes to a database, before
    and after, and each commit, just before. Nothing is listed by hand: a new call of an adapter is a new step.
    """

    def __init__(self, kill_at: int) -> None:
        self.names: list[str] = []
        self._kill_at = kill_at

    def start(self) -> None:
        event.listen(Engine, "before_cursor_execute", lambda *arguments: self._statement("write", arguments[2]))
        event.listen(Engine, "after_cursor_execute", lambda *arguments: self._statement("written", arguments[2]))
        event.listen(Engine, "commit", lambda _connection: self._step("write: COMMIT"))
        sys.setprofile(self._profile)

    def _statement(self, when: str, statement: str) -> None:
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            self._step(f"{when}: {statement[:40]}")

    def _profile(self, frame: FrameType, what: str, _argument: Any) -> None:
        code = frame.f_code
        named = not code.co_name.startswith(("_", "<")) and not code.co_flags & CO_GENERATOR
        if what in {"call", "return"} and code.co_filename in ADAPTERS and named:
            self._step(f"{what}: {code.co_name}")

    def _step(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


# promotions: the real one, and broken twins


def write_alias_first(approval: Approval, dag_run: str, book: Ledger) -> LedgerEntry:
    """Broken: the alias leads, the ledger follows."""
    tracking.set_alias(SHOP, Role.CHAMPION, approval.version)
    return promote(approval, dag_run, book)


def write_again(approval: Approval, dag_run: str, book: Ledger) -> LedgerEntry:
    """Broken: a retry does not see that it was done."""
    entry = _append(approval, dag_run, book, book.head(SHOP))
    follow_ledger(SHOP, book)
    return entry


def write_whatever_is_there(approval: Approval, dag_run: str, book: Ledger) -> LedgerEntry:
    """Broken: no compare-and-set; the head that was judged against is looked up anew until the entry goes in."""
    while True:
        try:
            return _append(approval, dag_run, book, book.head(SHOP))
        except PromotionRefused:
            continue


def _append(approval: Approval, dag_run: str, book: Ledger, head: LedgerEntry | None) -> LedgerEntry:
    registered = version_of(SHOP, approval.version)
    return book.append(
        use_case=SHOP,
        action=Action.PROMOTE,
        version=registered.version,
        expected_head=head,
        actor=approval.actor,
        trust=approval.trust,
        reason=approval.reason,
        dag_run=dag_run,
        manifest_digest=registered.manifest_digest,
        data_digest=registered.data_digest,
        report_digest=registered.report_digest,
        code_version=registered.code_version,
    )


PROMOTIONS: dict[str, Promote] = {
    "promote": promote,
    "write_alias_first": write_alias_first,
    "write_again": write_again,
    "write_whatever_is_there": write_whatever_is_there,
}


# what the processes run


def run_promotion(
    folder: Path, variables: dict[str, str], version: int, dag_run: str, kill_at: int, how: str, connection: Connection
) -> None:
    """The body of the promotion DAG's `promote`; sends the names of its steps if it survives."""
    enter(folder, variables)
    steps, book = Steps(kill_at), Ledger(get_settings().ledger_url)
    approval = _approval(version)
    steps.start()
    entry = PROMOTIONS[how](approval, dag_run, book)
    await_version(SHOP, entry.version)
    sys.setprofile(None)
    connection.send(steps.names)


def run_racer(
    folder: Path, variables: dict[str, str], version: int, barrier: Barrier, how: str, connection: Connection
) -> None:
    """One promotion among others that start at once; sends the text of its refusal, or '' if it won."""
    enter(folder, variables)
    approval, book = _approval(version), Ledger(get_settings().ledger_url)
    tracking.versions(SHOP)  # the connection is made: what follows is the race
    barrier.wait(120)
    try:
        PROMOTIONS[how](approval, f"race-{version}", book)
    except PromotionRefused as refusal:
        connection.send(str(refusal))
    else:
        connection.send("")


def run_preparation(folder: Path, variables: dict[str, str], connection: Connection) -> None:
    """Features to answer from, and two models, as training would have left them."""
    enter(folder, variables)
    settings = get_settings()
    storage = Storage(settings.data_root)
    items = [f"i{number}" for number in range(5)]
    users = pd.DataFrame({c.USER_ID: ["u0", "u1", "u2"]})
    tables = {
        c.USERS: users,
        c.ITEMS: pd.DataFrame({c.ITEM_ID: items, "item_buyers_7d": [float(number) for number in range(5)]}),
        c.PAIRS: pd.DataFrame({c.USER_ID: ["u0"], c.ITEM_ID: ["i0"]}),
    }
    writers = {name: frame_writer(frame) for name, frame in tables.items()}
    storage.publish(use_case=SHOP, layer=c.FEATURES, partition="2011-06-01", tables=writers)
    labels = pd.DataFrame({c.USER_ID: ["u0", "u1"], c.ITEM_ID: ["i1", "i2"], c.LABEL: [1.0, 1.0]})
    writers[c.LABELS] = frame_writer(labels)
    examples = storage.publish(use_case=SHOP, layer=c.EXAMPLES, partition="2011-06-01", tables=writers)
    connection.send([_log(half_life, examples, folder).to_json() for half_life in (7.0, 28.0)])


def run_registration(
    folder: Path, variables: dict[str, str], candidates: list[Any], against: int | None, count: int, connection: Connection
) -> None:
    """Challengers that passed against a champion, each with its own verdict."""
    enter(folder, variables)
    settings = get_settings()
    digest = version_of(SHOP, against).manifest_digest if against else ""
    candidate = next(one for one in map(Candidate.from_json, candidates) if one.manifest_digest != digest)
    storage, examples = Storage(settings.data_root), candidate.split.holdout
    made = []
    for place in range(count):
        evaluation = Evaluation(
            subject="challenger",
            name=candidate.name,
            model_uri=candidate.model_uri,
            holdout=examples,
            metrics={"ndcg_at_3": 0.5 + place / 1000},
            units=examples,
        )
        gate = GateResult(gate="beats_champion", mode=GateMode.ENABLED, passed=True, reason="as the harness sets it")
        verdict = Verdict(
            use_case=SHOP,
            candidate=candidate,
            champion_version=against,
            evaluations=(evaluation,),
            comparisons=(),
            gates=(gate,),
            passed=True,
            outcome=None,
        )
        made.append(register_verdict(verdict, storage).version)
    connection.send(made)


def _log(half_life: float, examples: DatasetRef, folder: Path) -> Candidate:
    model, native = PopularityModel(half_life), folder / f"export-{half_life:g}" / "native"
    digest = save_model(model, native, ScoringTerms(use_case=SHOP, task=TaskKind.RECOMMENDATION, k=3))
    frame = pd.DataFrame({"x": [1.0]})
    with tracking.start_run(SHOP, f"popularity_{half_life:g}", f"key-{half_life:g}", {}) as run:
        model_uri = run.log_model(native, synthetic_classification.WRAPPER, frame, frame, {})
    split = Split(as_of=date(2011, 6, 1), train=examples, validation=examples, holdout=examples)
    return Candidate(
        use_case=SHOP,
        name=f"popularity_{half_life:g}",
        kind=model.kind,
        run_id=run.run_id,
        model_uri=model_uri,
        manifest_digest=digest,
        split=split,
        code_version="test",
        metrics={"ndcg_at_3": 0.5},
        fit_seconds=0.1,
    )


def _approval(version: int) -> Approval:
    return Approval(
        use_case=SHOP,
        version=version,
        report_digest=version_of(SHOP, version).report_digest,
        actor="ada",
        reason="it is better",
        trust=Trust.LOCAL,
    )
