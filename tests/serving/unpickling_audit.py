"""The endpoint with an audit hook that records everything that is unpickled in its process."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import PurePosixPath

from fastapi import FastAPI

from serving.app import create_app

AUDIT_FILE = "UNPICKLING_AUDIT_FILE"  # environment variable: path of the record
SELF_TEST = "pathlib PurePosixPath"  # first line of the record


def create_audited_app() -> FastAPI:
    """The endpoint with the audit hook, for uvicorn --factory."""
    descriptor = os.open(os.environ[AUDIT_FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "pickle.find_class":
            os.write(descriptor, " ".join(map(str, arguments)).encode() + b"\n")

    sys.addaudithook(hook)
    pickle.loads(pickle.dumps(PurePosixPath("self-test")))  # noqa: S301  proves that the hook works
    return create_app()
