"""One export, served alone by the real app, without ledger and MLflow: what a gate asks before there is a version.

`python -m serving.standalone` reads a question as JSON from its standard input (`tasks.io.endpoint.serve_alone` writes it),
prints its address on standard output, and ends when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn

from serving.app import create_app
from serving.deployment.api_keys import Keyring
from serving.deployment.smoke_test import warmed
from serving.deployment.store import Deployment, ModelStore, Served, with_ranking
from serving.telemetry.metrics import ServingMetrics
from tasks.contracts.data import DatasetRef
from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.errors import TitleholderError
from tasks.io.storage import Storage
from tasks.models.base import ServedModel, load_model, read_features
from tasks.settings import Settings


class OneModel(ModelStore):
    """A store whose only seat is taken once, and that follows nobody."""

    def __init__(self, settings: Settings, metrics: ServingMetrics, served: Served) -> None:
        super().__init__(settings, metrics, Keyring("", metrics, required=False))
        self.seats = {served.entry.use_case: Deployment(served.entry.use_case, served.entry, served)}
        self.ledger_error = ""

    def start(self) -> None:
        """There is nothing to follow."""


def load(question: dict[str, Any], kinds: dict[str, type[ServedModel]]) -> Served:
    """The bundle, as the endpoint would make it.

    Raises
    ------
    ModelError : the export is not the one of the digest, or its first answers are none.
    SnapshotError : the snapshot is gone.
    """
    model, terms = load_model(Path(question["native"]), question["manifest_digest"], kinds)
    ref = None if terms.task.is_tabular else DatasetRef.from_json(question["features"])
    tables = None if ref is None else read_features(Storage(Path(question["data_root"])), ref)
    digest = question["manifest_digest"]
    entry = LedgerEntry(
        sequence=1,
        use_case=question["use_case"],
        action=Action.PROMOTE,
        version=1,
        previous_version=None,
        manifest_digest=digest,
        data_digest=digest,
        report_digest=digest,
        code_version="",
        actor="nobody",
        trust=Trust.POLICY,
        reason="to be measured, not to be served",
        dag_run="",
        at=datetime.now(UTC),
        entry_digest=digest,
        previous_digest=digest,
    )
    known_as = None if ref is None else ref.model_copy(update={"partition": question["as_of"]})
    served = Served(entry, model, terms, tables, known_as)
    return warmed(served if terms.task.is_tabular else with_ranking(served, None))


def main() -> None:
    """Serve until nobody wants it any more."""
    question = json.loads(sys.stdin.readline())
    kinds = {kind: getattr(import_module(module), name) for kind, (module, name) in question["kinds"].items()}
    try:
        served = load(question, kinds)
    except TitleholderError as error:
        _say({"fault": str(error)})
        return
    settings = Settings(home=Path.cwd(), endpoint_keys="off", endpoint_rate=0.0, endpoint_explore_share=0.0)
    metrics = ServingMetrics()
    app = create_app(settings, kinds, OneModel(settings, metrics, served))
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    _say({"address": f"http://127.0.0.1:{door.getsockname()[1]}"})
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[door])


def _say(answer: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _end_with_the_caller() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
