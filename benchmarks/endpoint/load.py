"""Shared by the parts of the endpoint's benchmark: load by wrk, servers as process groups, and models served without MLflow."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = [f"column {n}" for n in range(30)]
ROW = {name: 0.1 * place for place, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Size:
    """`seconds` and `rounds` of each load, and how much each part does."""

    seconds: float = 5.0
    rounds: int = 3
    top_k_items: int = 100_000
    top_k_users: int = 2_000
    swaps: int = 200
    kills: int = 10
    requests: int = 500_000
    schema_examples: int = 50
    workers: tuple[int, ...] = (1, 2, 3, 4)
    catalogues: tuple[int, ...] = (1_000, 5_000, 20_000, 50_000, 100_000, 300_000)


@dataclass(frozen=True)
class Load:
    """The figures of one run of wrk."""

    rps: float
    p99_ms: float
    errors: int


def load(
    url: str,
    connections: int,
    *,
    seconds: float,
    key: str = "",
    body: dict[str, Any] | None = None,
    paths: list[str] | None = None,
) -> Load:
    """One run of wrk with one thread. It shares the machine with what it measures."""
    script = ["wrk.headers['Content-Type'] = 'application/json'", f"wrk.headers['Authorization'] = 'Bearer {key}'"]
    if body is not None:
        script += ["wrk.method = 'POST'", f"wrk.body = [==[{json.dumps(body)}]==]"]
    if paths:
        listed = ", ".join(json.dumps(path) for path in paths)
        script += [
            f"local paths = {{{listed}}}",
            "local n = 0",
            "request = function() n = n % #paths + 1; return wrk.format(nil, paths[n]) end",
        ]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        lua.write("\n".join(script))
        lua.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "--timeout",
            "10s",
            "-s",
            lua.name,
            url,
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    p99, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)\b", output)[0]
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", output)))
    broken = re.findall(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    errors += sum(sum(map(int, counts)) for counts in broken)
    rps = float(re.findall(r"Requests/sec:\s+([\d.]+)", output)[0])
    return Load(rps, float(p99) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], errors)


@contextmanager
def server(
    command: list[str], port: int, path: str, *, home: Path | None = None, poll_seconds: float = 1.0, workers: int = 1
) -> Iterator[subprocess.Popen[bytes]]:
    """A server as a process group of its own, from its first 200 at `path` on. The rate limit is on, too high to refuse."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TITLEHOLDER_ENDPOINT_KEYS": "required",
        "TITLEHOLDER_ENDPOINT_RATE": "1e9",
        "TITLEHOLDER_ENDPOINT_POLL_SECONDS": str(poll_seconds),
        "PYTHONPATH": str(Path.cwd()),
        "TITLEHOLDER_MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        **({"TITLEHOLDER_HOME": str(home)} if home else {}),
        "WEB_CONCURRENCY": str(workers),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            deadline = time.monotonic() + 300
            while not is_ready(port, path):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(f"{command[0]} did not start: {output.read()[-2000:].decode(errors='replace')}")
                time.sleep(0.1)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_ready(port: int, path: str) -> bool:
    """Whether the server answers with 200."""
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def endpoint_command(port: int) -> list[str]:
    """The command that starts the endpoint."""
    return [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "serving.app:create_app",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--http",
        "serving.http.protocol:TimeoutProtocol",
        "--no-server-header",
        "--no-access-log",
    ]


def bare_command(port: int) -> list[str]:
    """The command that starts a route without any logic."""
    return [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.endpoint.bare:app",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-access-log",
    ]


# what is served


class Installation:
    """A home folder whose models are in the endpoint's cache. Promotions go through the ledger."""

    def __init__(self, home: Path) -> None:
        from tasks.io.api_keys import ApiKeys, Scope
        from tasks.io.ledger import Ledger
        from tasks.io.storage import Storage

        self.home, self.storage = home, Storage(home / "data")
        home.mkdir(parents=True, exist_ok=True)
        database = f"sqlite:///{home / 'titleholder.db'}"
        self.ledger = Ledger(database)
        self.key, _ = ApiKeys(database).create("the benchmark", frozenset({Scope.ADMIN}), datetime.now(UTC))
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}

    def cache_model(self, use_case: str, model: Any, terms: dict[str, Any]) -> str:
        """Put a model into the cache. Returns its digest."""
        from tasks.contracts.training import ScoringTerms
        from tasks.models.base import save_model

        folder = self.home / "endpoint" / "models" / use_case
        folder.mkdir(parents=True, exist_ok=True)
        digest = save_model(model, folder / "draft", ScoringTerms.model_validate({"use_case": use_case, **terms}))
        (folder / "draft").rename(folder / digest)
        return digest

    def promote(self, use_case: str, version: int, digest: str) -> None:
        """Make a cached model the champion."""
        from tasks.contracts.promotion import Action, Trust

        self.ledger.append(
            use_case=use_case,
            action=Action.PROMOTE,
            version=version,
            expected_head=self.ledger.head(use_case),
            manifest_digest=digest,
            data_digest="d" * 64,
            report_digest="e" * 64,
            code_version="bench",
            actor="bench",
            trust=Trust.LOCAL,
            reason="bench",
            dag_run="bench",
        )

    def publish(self, use_case: str, tables: dict[str, Any]) -> None:
        """Publish tables of features."""
        from tasks.io.storage import frame_writer

        self.storage.publish(
            use_case=use_case,
            layer="features",
            partition="2026-01-01",
            tables={name: frame_writer(frame) for name, frame in tables.items()},
        )


def serve_tumours(installation: Installation) -> Any:
    """Serve a logistic regression of 30 columns. Returns scikit-learn's pipeline of the same model, for the peers."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tasks.models.encoding import Encoding
    from tasks.models.logistic_regression import LogisticRegressionModel

    draws = np.random.default_rng(7)
    values = pd.DataFrame(draws.normal(size=(400, 30)), columns=COLUMNS)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(values, values.to_numpy().sum(axis=1) > 0)
    scaler, regression = pipeline[0], pipeline[1]
    weights = regression.coef_[0] / scaler.scale_
    model = LogisticRegressionModel(
        Encoding(tuple(COLUMNS)), np.zeros(30), weights, float(regression.intercept_[0] - weights @ scaler.mean_)
    )
    installation.promote(
        "tumours", 1, installation.cache_model("tumours", model, {"task": "classification", "row_columns": COLUMNS})
    )
    return pipeline


def serve_catalogue(installation: Installation, items: int, users: int) -> tuple[Any, dict[str, Any]]:
    """Serve 64 factors with the skew of real ones, where each user bought 20 items. Returns the model and its tables."""
    import pandas as pd

    from tasks.models.als import AlsModel, Penalties

    draws = np.random.default_rng(7)
    names = np.array([f"i{n:06d}" for n in range(items)], dtype=object)
    popularity = (draws.pareto(1.2, (items, 1)) + 0.2).clip(0, 30) ** 0.4
    factors = draws.normal(size=(items, 64)) / np.sqrt(np.arange(1, 65)) * popularity
    place = draws.integers(0, items, (users, 20))
    pairs = pd.DataFrame({"user_id": np.repeat([f"u{n}" for n in range(users)], 20), "item_id": names[place.ravel()]})
    tables = {
        "users": pd.DataFrame({"user_id": [f"u{n}" for n in range(users)]}),
        "items": pd.DataFrame({"item_id": names, "item_buyers_7d": 1.0}),
        "pairs": pairs.drop_duplicates().assign(pair_orders=1.0),
    }
    installation.publish("shop", tables)
    model = AlsModel(names, factors, Penalties(0.1, 20.0, 10.0, 10.0, 28.0), None, 1.0)
    installation.promote("shop", 1, installation.cache_model("shop", model, {"task": "recommendation", "k": 10}))
    return model, tables
