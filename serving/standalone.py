"""Serves one exported model with the real app, without ledger and registry: the gates use it before a version exists.

`python -m serving.standalone` reads a job as JSON from the first line of its standard input (`tasks.io.endpoint` writes it),
prints its URL as JSON on standard output, and ends when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn

from serving.app import create_app
from serving.deployment.bundle import Bundle, Deployment, add_ranking
from serving.deployment.smoke_test import run_smoke_test
from tasks.contracts.data import DatasetRef
from tasks.errors import TitleholderError
from tasks.io.storage import Storage
from tasks.models.base import ServedModel, load_model, read_features
from tasks.settings import Settings

VERSION = 1  # the registry has none yet


class SingleDeployment:
    """A `DeploymentSource` of one bundle that never changes."""

    def __init__(self, bundle: Bundle) -> None:
        self.deployments: Mapping[str, Deployment] = {bundle.use_case: Deployment(bundle.use_case, None, bundle)}
        self.ledger_error = ""

    def start(self) -> None:
        """Do nothing: there is no ledger to follow."""

    def stop(self) -> None:
        """Do nothing."""


def load_bundle(job: dict[str, Any], kinds: dict[str, type[ServedModel]]) -> Bundle:
    """The bundle of an export, made and smoke-tested as the endpoint would.

    Parameters
    ----------
    job : use_case, native (folder of the export), manifest_digest, features (snapshot), as_of (day) and data_root.
    kinds : model classes that may be loaded, by kind.

    Raises
    ------
    ModelError : the export does not match the digest, or fails the smoke test.
    SnapshotError : the features snapshot is missing.
    """
    digest = job["manifest_digest"]
    model, terms = load_model(Path(job["native"]), digest, kinds)
    if terms.task.answers_rows:
        return run_smoke_test(Bundle(job["use_case"], VERSION, digest, model, terms))
    features = DatasetRef.from_json(job["features"])
    tables = read_features(Storage(Path(job["data_root"])), features)
    known_as = features.model_copy(update={"partition": job["as_of"]})
    bundle = Bundle(job["use_case"], VERSION, digest, model, terms, tables, known_as)
    return run_smoke_test(add_ranking(bundle, None))


def main() -> None:
    """Serve until standard input is closed."""
    job = json.loads(sys.stdin.readline())
    kinds = {kind: getattr(import_module(module), name) for kind, (module, name) in job["kinds"].items()}
    try:
        bundle = load_bundle(job, kinds)
    except TitleholderError as error:
        _print({"fault": str(error)})
        return
    settings = Settings(home=Path.cwd(), endpoint_keys="off", endpoint_rate=0.0, endpoint_explore_share=0.0)
    app = create_app(settings, kinds, SingleDeployment(bundle))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _print({"address": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def _print(document: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
