"""The endpoint under load, beside its peers: in turn, in the same run, one worker each. Load is made by wrk (Debian: wrk).

`python -m benchmarks.endpoint` writes build/bench/endpoint.json. Without wrk or MLflow the figures that need them are left out.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SWAPS = int(os.environ.get("BENCH_SWAPS", "200"))
SWAP_PAUSE = 0.1  # seconds from one swap to the next
KILLS = int(os.environ.get("BENCH_KILLS", "10"))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "500000"))
COLUMNS = [f"column {n}" for n in range(30)]
ROW = {name: 0.1 * place for place, name in enumerate(COLUMNS)}
MEANING = {
    "rps_c8": "requests a second, logistic regression on 30 features, one row, 8 connections",
    "rps_c64": "the same, 64 connections",
    "p99_ms_c8": "its p99",
    "p99_ms_c64": "the same at 64 connections",
    "rps_ratio_mlflow_c8": "requests a second over `mlflow models serve` of the same model with its signature (at least 40)",
    "rps_ratio_mlflow_c64": "the same at 64 connections (at least 40)",
    "p99_ratio_mlflow_c8": "p99 over that of `mlflow models serve` (at most 0.1)",
    "p99_ratio_mlflow_c64": "the same at 64 connections (at most 0.1)",
    "rps_ratio_mlflow_unchecked_c8": "requests a second over `mlflow models serve` without a signature: it checks nothing",
    "rps_ratio_mlflow_unchecked_c64": "the same at 64 connections",
    "p99_ratio_mlflow_unchecked_c8": "p99 over that of `mlflow models serve` without a signature",
    "p99_ratio_mlflow_unchecked_c64": "the same at 64 connections",
    "bare_ratio": "requests a second of a bare Starlette route with bodies of the same size, over ours (at most 3)",
    "topk_100k_rps": "top 10 of 100,000 items of 64 factors, folded in, 8 connections: requests a second",
    "topk_100k_p99_ms": "its p99 (at most 10)",
    "topk_100k_recall": "share of the exact top 10 that is answered (at least 0.99)",
    "swaps": "swaps under load at 64 connections",
    "swap_failed": "requests that failed meanwhile (0)",
    "swap_mixed": "answers that mix two models (0)",
    "swap_p99_ratio": "p99 with swaps over p99 without (at most 2)",
    "kill_rows": "rows that were acknowledged in all lives",
    "kill_lost_rows": "acknowledged rows that are lost beyond the stated window (0)",
    "kill_lost_within_window": "rows that are lost within it",
    "kill_doubled_rows": "rows that are in the log twice (0)",
    "rss_growth_mb": "growth of memory over the requests, good and bad (at most 20)",
}


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
            f"local paths = {{{listed}}}", "local n = 0",
            "request = function() n = n % #paths + 1; return wrk.format(nil, paths[n]) end",
        ]  # fmt: skip
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


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def server(
    words: list[str], port: int, path: str, home: Path | None = None, poll_seconds: float = 1.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A server as a process group of its own, until it answers 200 at `path`. All is on, also the limit, but out of reach."""
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TITLEHOLDER_ENDPOINT_KEYS": "required",
        "TITLEHOLDER_ENDPOINT_RATE": "1e9", "TITLEHOLDER_ENDPOINT_POLL_SECONDS": str(poll_seconds),
        "PYTHONPATH": str(Path.cwd()),
        "TITLEHOLDER_MLFLOW_TRACKING_URI": "http://127.0.0.1:9", **({"TITLEHOLDER_HOME": str(home)} if home else {}),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
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
        sys.executable, "-m", "uvicorn", "--factory", "serving.app:create_app", "--host", "127.0.0.1", "--port", str(port),
        "--http", "serving.protocol:PatientProtocol", "--no-server-header", "--no-access-log",
    ]  # fmt: skip


def bare(port: int) -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", "benchmarks.endpoint:bare_app", "--host", "127.0.0.1", "--port", str(port),
        "--no-access-log",
    ]  # fmt: skip


# what is served


class House:
    """A home whose models are in the endpoint's cache; titles change hands through the ledger."""

    def __init__(self, home: Path) -> None:
        from tasks.api_keys import ApiKeys, Scope
        from tasks.ledger import Ledger
        from tasks.storage import Storage

        self.home, self.storage = home, Storage(home / "data")
        home.mkdir(parents=True, exist_ok=True)
        database = f"sqlite:///{home / 'titleholder.db'}"
        self.ledger = Ledger(database)
        self.key, _ = ApiKeys(database).create("the benchmark", frozenset({Scope.ADMIN}), datetime.now(UTC))
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}

    def keep(self, use_case: str, model: Any, terms: dict[str, Any]) -> str:
        """Put a model into the cache; its digest."""
        from tasks.contracts import ServingTerms
        from tasks.models.base import save_model

        folder = self.home / "endpoint" / "models" / use_case
        folder.mkdir(parents=True, exist_ok=True)
        digest = save_model(model, folder / "draft", ServingTerms.model_validate({"use_case": use_case, **terms}))
        (folder / "draft").rename(folder / digest)
        return digest

    def promote(self, use_case: str, version: int, digest: str) -> None:
        from tasks.contracts import Action, Trust

        self.ledger.append(
            use_case=use_case, action=Action.PROMOTE, version=version, expected_head=self.ledger.head(use_case),
            manifest_digest=digest, data_digest="d" * 64, report_digest="e" * 64, code_version="bench", actor="bench",
            trust=Trust.LOCAL, reason="bench", dag_run="bench",
        )  # fmt: skip

    def publish(self, use_case: str, tables: dict[str, Any]) -> None:
        from tasks.storage import frame_writer

        self.storage.publish(
            use_case=use_case, layer="features", partition="2026-01-01",
            tables={name: frame_writer(frame) for name, frame in tables.items()},
        )  # fmt: skip


def tumours(house: House) -> Any:
    """A logistic regression of 30 columns, in service; scikit-learn's own pipeline of it comes back, for the peers."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tasks.models.logistic_regression import LogisticRegressionModel

    draws = np.random.default_rng(7)
    values = pd.DataFrame(draws.normal(size=(400, 30)), columns=COLUMNS)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(values, values.to_numpy().sum(axis=1) > 0)
    scaler, regression = pipeline[0], pipeline[1]
    weights = regression.coef_[0] / scaler.scale_
    model = LogisticRegressionModel(
        tuple(COLUMNS), np.zeros(30), weights, float(regression.intercept_[0] - weights @ scaler.mean_)
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


async def bare_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """One bare Starlette route that reads a body and gives one of the size of ours."""
    await _bare(scope, receive, send)


def _make_bare() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(b"x" * 330, media_type="application/json")

    return Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])


_bare: Any = None if __name__ == "__main__" else _make_bare()


# the figures


def speed(work: Path) -> dict[str, float]:
    """Ours, the peers, in turn."""
    house = House(work / "speed")
    pipeline = tumours(house)
    ours, plain = free_port(), free_port()
    split = {"dataframe_split": {"columns": COLUMNS, "data": [list(ROW.values())]}}
    found: dict[str, list[Load]] = {}
    with (
        server(endpoint_words(ours), ours, "/readyz", house.home),
        server(bare(plain), plain, "/"),
        mlflow_peers(work, pipeline) as peers,
    ):
        asked = {
            "ours": (f"http://127.0.0.1:{ours}/v1/tumours/predictions", {"rows": [ROW]}),
            "bare": (f"http://127.0.0.1:{plain}/", {"rows": [ROW]}),
            **{name: (f"http://127.0.0.1:{port}/invocations", split) for name, port in peers.items()},
        }
        for _ in range(ROUNDS):
            for connections in (8, 64):
                for name, (url, body) in asked.items():
                    found.setdefault(f"{name}_c{connections}", []).append(load(url, connections, body, key=house.key))
    if errors := {name: run.errors for name, runs in found.items() for run in runs if run.errors and "ours" in name}:
        raise RuntimeError(f"not all was answered: {errors}")
    rps = {name: statistics.median(run.rps for run in runs) for name, runs in found.items()}
    p99 = {name: statistics.median(run.p99_ms for run in runs) for name, runs in found.items()}
    figures = {"bare_ratio": rps["bare_c8"] / rps["ours_c8"]}
    for n in (8, 64):
        figures |= {f"rps_c{n}": rps[f"ours_c{n}"], f"p99_ms_c{n}": p99[f"ours_c{n}"]}
        for name in peers:
            figures[f"rps_ratio_{name}_c{n}"] = rps[f"ours_c{n}"] / rps[f"{name}_c{n}"]
            figures[f"p99_ratio_{name}_c{n}"] = p99[f"ours_c{n}"] / p99[f"{name}_c{n}"]
    return figures


@contextmanager
def mlflow_peers(work: Path, pipeline: Any) -> Iterator[dict[str, int]]:
    """Ports of `mlflow models serve`, one worker, of scikit-learn's model with a signature, by which it checks what it is
    asked as ours does, and without one. None where MLflow is not installed.
    """
    try:
        import mlflow.sklearn
    except ImportError:
        yield {}
        return
    import pandas as pd

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    asked = pd.DataFrame([ROW])
    signature = mlflow.models.infer_signature(asked, pipeline.predict(asked))
    peers: dict[str, int] = {}
    with ExitStack() as running:
        for name, known in (("mlflow", signature), ("mlflow_unchecked", None)):
            path, port = work / name, free_port()
            mlflow.sklearn.save_model(pipeline, str(path), signature=known, pip_requirements=["scikit-learn"])
            words = ["mlflow", "models", "serve", "-m", str(path), "--env-manager", "local", "-h", "127.0.0.1", "-w", "1"]
            running.enter_context(server([*words, "-p", str(port)], port, "/health"))
            peers[name] = port
        yield peers


def top_k(work: Path) -> dict[str, float]:
    """100,000 items, every user folded in, and how much of the exact answer is given."""
    house = House(work / "topk")
    model, tables = catalogue(house, 100_000, 2000)
    from tasks.models.base import FeatureTables, top_places

    features = FeatureTables(tables["users"], tables["items"], tables["pairs"])
    port = free_port()
    with server(endpoint_words(port), port, "/readyz", house.home):
        users = [f"u{n}" for n in range(2000)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        hits = 0
        for user in users[::20]:
            connection.request("GET", f"/v1/shop/recommendations/{user}?k=10", headers=house.headers)
            given = {item["item_id"] for item in json.loads(connection.getresponse().read())["items"]}
            scores, _ = model.score_items(user, features)
            hits += len(given & set(features.item_ids[top_places(scores, 10)]))
        paths = [f"/v1/shop/recommendations/{user}?k=10" for user in users]
        runs = [load(f"http://127.0.0.1:{port}", 8, paths=paths, key=house.key) for _ in range(ROUNDS)]
    return {
        "topk_100k_rps": statistics.median(run.rps for run in runs),
        "topk_100k_p99_ms": statistics.median(run.p99_ms for run in runs),
        "topk_100k_recall": hits / (len(users[::20]) * 10),
    }


def swaps(work: Path) -> dict[str, float]:
    """Titles change hands under load; every model's answers tell whose they are."""
    from tasks.models.prior import PriorModel

    house = House(work / "swaps")
    digests = {
        version: house.keep("tumours", PriorModel(version / 1000), {"task": "classification", "row_columns": ["x"]})
        for version in range(1, SWAPS + 2)
    }
    house.promote("tumours", 1, digests[1])
    port = free_port()
    body = {"rows": [{"x": 1.0}] * 3}
    url = f"http://127.0.0.1:{port}/v1/tumours/predictions"
    mixed, asked, failed = [0], [0], [0]
    stop = threading.Event()

    def watch() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not stop.is_set():
            try:
                connection.request("POST", "/v1/tumours/predictions", json.dumps(body), house.headers)
                answer = json.loads(connection.getresponse().read())
                version = answer["model_version"]
                asked[0] += 1
                one = {round(row["probability"] * 1000) for row in answer["predictions"]} == {version}
                mixed[0] += not (one and answer["manifest_digest"] == digests[version])
            except (OSError, KeyError, ValueError, http.client.HTTPException):
                failed[0] += 1
                return

    with server(endpoint_words(port), port, "/readyz", house.home, poll_seconds=0.02):
        calm = [load(url, 64, body, key=house.key) for _ in range(ROUNDS)]
        threading.Thread(target=watch, daemon=True).start()
        runs: list[Load] = []
        loading = threading.Thread(target=lambda: _load_until(stop, runs, url, body, house.key))
        loading.start()
        for version in range(2, SWAPS + 2):
            house.promote("tumours", version, digests[version])
            while _version(port) != version:
                time.sleep(0.01)
            time.sleep(SWAP_PAUSE)
        stop.set()
        loading.join()
        calm += [load(url, 64, body, key=house.key) for _ in range(ROUNDS)]  # the machine may have become busier
    return {
        "swaps": float(SWAPS),
        "swap_failed": float(sum(run.errors for run in runs) + failed[0]),
        "swap_mixed": float(mixed[0]),
        "swap_p99_ratio": statistics.median(run.p99_ms for run in runs) / statistics.median(run.p99_ms for run in calm),
    }


def _load_until(stop: threading.Event, runs: list[Load], url: str, body: dict[str, Any], key: str) -> None:
    while not stop.is_set():
        runs.append(load(url, 64, body, key=key))


def _version(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/readyz")
    version: int = json.loads(connection.getresponse().read())["use_cases"]["tumours"]["version"]
    return version


def kills(work: Path) -> dict[str, float]:
    """kill -9 under load; what was acknowledged is looked for by a reader of our own."""
    from serving.recorder import WINDOW_SECONDS

    house = House(work / "kills")
    tumours(house)
    acknowledged: dict[str, float] = {}
    latest: dict[str, float] = {}  # prediction -> when its life ended

    def ask(port: int, mine: dict[str, float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        body = json.dumps({"rows": [ROW]})
        with suppress(OSError, ValueError, http.client.HTTPException):
            while True:
                connection.request("POST", "/v1/tumours/predictions", body, house.headers)
                answer = json.loads(connection.getresponse().read())
                mine[answer["predictions"][0]["prediction_id"]] = time.monotonic()

    for _ in range(KILLS):
        port = free_port()
        parts: list[dict[str, float]] = [{} for _ in range(8)]
        with server(endpoint_words(port), port, "/readyz", house.home) as process:
            threads = [threading.Thread(target=ask, args=(port, part)) for part in parts]
            for thread in threads:
                thread.start()
            time.sleep(1.0)
            os.killpg(process.pid, signal.SIGKILL)
            ended = time.monotonic()
            for thread in threads:
                thread.join()
        for part in parts:
            acknowledged |= part
            latest |= dict.fromkeys(part, ended)
    logged: dict[str, int] = {}
    for path in house.home.glob("predictions/tumours/online/*"):
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            names = pq.read_table(path)["prediction_id"].to_pylist()
        elif path.with_suffix(".parquet").exists():
            continue
        else:
            names = re.findall(r'"prediction_id":"([^"]+)"[^\n]*\}\n', path.read_text(errors="replace"))
        for name in names:
            logged[name] = logged.get(name, 0) + 1
    lost = [name for name in acknowledged if name not in logged]
    window = [name for name in lost if latest[name] - acknowledged[name] <= 2 * WINDOW_SECONDS + 0.1]  # it waits, then writes
    return {
        "kill_rows": float(len(acknowledged)),
        "kill_lost_rows": float(len(lost) - len(window)),
        "kill_lost_within_window": float(len(window)),
        "kill_doubled_rows": float(sum(count > 1 for count in logged.values())),
    }


def memory(work: Path) -> dict[str, float]:
    """Good and bad requests in turn, and what the process holds before and after."""
    import psutil

    house = House(work / "memory")
    tumours(house)
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/tumours/predictions"
    with server(endpoint_words(port), port, "/readyz", house.home) as process:
        good, bad = {"rows": [ROW]}, {"rows": [{"x" * 5000: 1}]}
        done = 0.0
        for body in (good, bad, good):
            done += load(url, 8, body, key=house.key).rps * SECONDS
        before = psutil.Process(process.pid).memory_info().rss
        done = 0.0
        while done < REQUESTS:
            for body in (good, bad):
                done += load(url, 8, body, key=house.key).rps * SECONDS
        after = psutil.Process(process.pid).memory_info().rss
    return {"rss_growth_mb": (after - before) / 2**20}


def measure() -> dict[str, float]:
    """All figures that this machine can give."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk makes the load: apt-get install wrk")
    parts: dict[str, Callable[[Path], dict[str, float]]] = {
        "speed": speed, "top_k": top_k, "swaps": swaps, "kills": kills, "memory": memory,
    }  # fmt: skip
    wanted = [name for name in os.environ.get("BENCH_ONLY", ",".join(parts)).split(",") if name]
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="titleholder-bench-") as work:
        for name in wanted:
            figures |= parts[name](Path(work))
    return figures


def main() -> None:
    folder = Path("build") / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    figures = measure()
    document = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(), **figures}
    (folder / "endpoint.json").write_text(json.dumps(document, indent=1))
    for name, value in figures.items():
        print(f"{name:<26} {value:>12.4g}  {MEANING[name]}")


if __name__ == "__main__":
    main()
