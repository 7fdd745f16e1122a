"""What the endpoint's benchmarks share: load by wrk, servers as process groups, and models that are served without MLflow."""

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

SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
COLUMNS = [f"column {n}" for n in range(30)]
ROW = {name: 0.1 * place for place, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Load:
    """What wrk says of one run."""

    rps: float
    p99_ms: float
    errors: int


def load(url: str, connections: int, body: dict[str, Any] | None = None, paths: list[str] | None = None, key: str = "") -> Load:
    """One run of wrk with one thread: it shares the machine with what it measures."""
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
        words = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS:g}s", "--latency", "--timeout", "10s", "-s", lua.name, url]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    p99, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)\b", told)[0]
    errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", told)))
    broken = re.findall(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    errors += sum(sum(map(int, counts)) for counts in broken)
    rps = float(re.findall(r"Requests/sec:\s+([\d.]+)", told)[0])
    return Load(rps, float(p99) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], errors)


@contextmanager
def server(
    words: list[str], port: int, path: str, home: Path | None = None, poll_seconds: float = 1.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A server as a process group of its own, until it answers 200 at `path`. All is on, also the limit, but out of reach."""
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
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(words, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            deadline = time.monotonic() + 300
            while not answers(port, path):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(f"{words[0]} did not start: {output.read()[-2000:].decode(errors='replace')}")
                time.sleep(0.1)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(port: int, path: str) -> bool:
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def endpoint_words(port: int) -> list[str]:
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


def bare(port: int) -> list[str]:
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


class House:
    """A home whose models are in the endpoint's cache; titles change hands through the ledger."""

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

    def keep(self, use_case: str, model: Any, terms: dict[str, Any]) -> str:
        """Put a model into the cache; its digest."""
        from tasks.contracts.training import ServingTerms
        from tasks.models.base import save_model

        folder = self.home / "endpoint" / "models" / use_case
        folder.mkdir(parents=True, exist_ok=True)
        digest = save_model(model, folder / "draft", ServingTerms.model_validate({"use_case": use_case, **terms}))
        (folder / "draft").rename(folder / digest)
        return digest

    def promote(self, use_case: str, version: int, digest: str) -> None:
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
        from tasks.io.storage import frame_writer

        self.storage.publish(
            use_case=use_case,
            layer="features",
            partition="2026-01-01",
            tables={name: frame_writer(frame) for name, frame in tables.items()},
        )


def tumours(house: House) -> Any:
    """A logistic regression of 30 columns, in service; scikit-learn's own pipeline of it comes back, for the peers."""
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
    house.promote("tumours", 1, house.keep("tumours", model, {"task": "classification", "row_columns": COLUMNS}))
    return pipeline


def catalogue(house: House, items: int, users: int) -> Any:
    """Factors of 64 with the skew of real ones; each user met 20 items."""
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
    house.publish("shop", tables)
    model = AlsModel(names, factors, Penalties(0.1, 20.0, 10.0, 10.0, 28.0), None, 1.0)
    house.promote("shop", 1, house.keep("shop", model, {"task": "recommendation", "k": 10}))
    return model, tables
