"""Kills and races of real promoting processes; judged from outside, by readers that share no code with what they judge.

`survive_kills` and `race` are called by tests, with few points and racers, and by a benchmark with all of them.
"""

from __future__ import annotations

import http.client
import itertools
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.settings import ROOT
from tests.ports import free_port
from tests.tasks.stages.registry import promotion_process

SHOP = promotion_process.SHOP
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([promotion_process.__name__])


@dataclass
class Scene:
    """An installation in a folder, with its endpoint's address. Everything is done to it by other processes."""

    folder: Path
    port: int
    candidates: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.variables = {
            "TITLEHOLDER_HOME": str(self.folder / "home"),
            "TITLEHOLDER_MLFLOW_TRACKING_URI": f"sqlite:///{self.folder / 'mlflow.db'}",
            "TITLEHOLDER_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "TITLEHOLDER_ENDPOINT_POLL_SECONDS": "0.1",
            "TITLEHOLDER_ENDPOINT_KEYS": "off",
        }

    def run(self, target: Callable[..., None], *arguments: Any) -> tuple[int, Any]:
        """Run one process of the installation. Returns its exit code and the result that it sent."""
        reader, writer = _processes.Pipe(duplex=False)
        process = _processes.Process(target=target, args=(self.folder, self.variables, *arguments, writer))
        process.start()
        writer.close()
        process.join(180)
        if process.exitcode is None:
            process.kill()
            process.join()
        result = None
        with suppress(EOFError):  # it died before it sent anything
            result = reader.recv() if reader.poll() else None
        return int(process.exitcode or 0), result

    def prepare(self) -> None:
        self.candidates = self._run_and_receive(promotion_process.run_preparation)

    def register(self, against: int | None, count: int = 1) -> list[int]:
        return list(self._run_and_receive(promotion_process.run_registration, self.candidates, against, count))

    def promote(self, version: int, dag_run: str, kill_at: int = 0, how: str = "promote") -> tuple[int, list[str] | None]:
        return self.run(promotion_process.run_promotion, version, dag_run, kill_at, how)

    def _run_and_receive(self, target: Callable[..., None], *arguments: Any) -> Any:
        code, result = self.run(target, *arguments)
        assert code == 0 and result is not None, f"{target.__name__} ended with {code}"
        return result

    # from outside

    def ledger(self) -> list[int]:
        """The versions of all entries, oldest first."""
        with closing(sqlite3.connect(self.folder / "home" / "titleholder.db")) as database:
            rows = database.execute("SELECT version FROM ledger WHERE use_case = ? ORDER BY sequence", (SHOP,))
            return [int(row[0]) for row in rows]

    def alias(self) -> int | None:
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as database:
            query = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = 'champion'"
            row = database.execute(query, (SHOP,)).fetchone()
        return int(row[0]) if row else None

    def served(self) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", f"/v1/{SHOP}/model")
            return int(json.loads(connection.getresponse().read())["version"])

    def await_served(self, version: int) -> bool:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.served() == version:
                return True
            time.sleep(0.05)
        return False


class Client(threading.Thread):
    """Sends requests to the endpoint continuously and keeps the failures."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.stop, self.answered = port, threading.Event(), 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self.stop.wait(0.02):
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
                    connection.request("GET", f"/v1/{SHOP}/recommendations/u1?k=3")
                    response = connection.getresponse()
                    body = response.read()
                if response.status == 200 and len(json.loads(body)["items"]) == 3:
                    self.answered += 1
                else:
                    self.failures.append(f"{response.status} {body[:200]!r}")
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self.failures.append(repr(error))


@contextmanager
def installation(folder: Path) -> Iterator[tuple[Scene, Client]]:
    """An installation with a champion, its endpoint, and a client that sends requests continuously."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    scene = Scene(folder.resolve(), port)
    scene.prepare()
    (first,) = scene.register(None)
    code, _ = scene.run(
        promotion_process.run_racer, first, _processes.Barrier(1), "promote"
    )  # there is no endpoint to wait for yet
    assert code == 0 and scene.ledger() == [first]
    with endpoint(scene) as client:
        yield scene, client


@contextmanager
def endpoint(scene: Scene) -> Iterator[Client]:
    """The real endpoint in a process of its own, with a client from when it is ready."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "serving.app:create_app",
        "--host",
        "127.0.0.1",
        "--port",
        str(scene.port),
        "--no-access-log",
    ]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **scene.variables, "PYTHONPATH": path}
    with (scene.folder / "endpoint.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=scene.folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    client = Client(scene.port)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                scene.served()
                break
            except (OSError, KeyError, ValueError):
                assert process.poll() is None and time.monotonic() < deadline, (scene.folder / "endpoint.log").read_text()[
                    -3000:
                ]
                time.sleep(0.1)
        client.start()
        yield client
    finally:
        client.stop.set()
        process.kill()
        process.wait(10)


def survive_kills(folder: Path, most: int | None = None) -> tuple[int, int]:
    """Kill a promoting process at its n-th step, for every n, each time followed by the retry that Airflow would make.

    Parameters
    ----------
    folder : an empty folder for the installation.
    most : the maximal number of points, chosen beside the writes; default: every one.

    Returns
    -------
    How many kills were done (each seen to have happened), and how many were survived; see `kill_and_retry`.
    """
    with installation(folder) as (scene, client):
        return kill_everywhere(scene, client, most)


def race(count: int, folder: Path) -> tuple[int, int]:
    """`count` promotions at once, each a process of its own, of challengers that were judged against the same champion.

    Returns
    -------
    How many the ledger has entries of, and how many were refused with a reason that names the new champion.
    """
    with installation(folder) as (scene, _):
        return start_at_once(scene, count)


def kill_everywhere(scene: Scene, client: Client, most: int | None = None, how: str = "promote") -> tuple[int, int]:
    """`survive_kills` in an installation that is there. `how` names a promotion of `promotion_process.PROMOTIONS`."""
    steps: Iterable[int] = itertools.count(1)
    if most is not None:
        (challenger,) = scene.register(scene.ledger()[-1])
        code, names = scene.promote(challenger, "counted", how=how)
        assert code == 0 and names, "a promotion that is not killed succeeds"
        writes = [step for step, name in enumerate(names, start=1) if name.startswith("writ")]
        steps = sorted({writes[(2 * place + 1) * len(writes) // (2 * most)] for place in range(most)})
    points = survived = 0
    for step in steps:
        outcome = kill_and_retry(scene, client, step, how)
        if outcome is None:
            break  # it was through before its n-th step: every step had its kill
        points, survived = points + 1, survived + outcome
    assert client.answered > points, "the client sent requests all the time"
    return points, survived


def kill_and_retry(scene: Scene, client: Client, step: int, how: str) -> bool | None:
    """Whether one kill was survived; None if the promotion was through before.

    Survived is: after the kill the alias and the endpoint name only versions that are in the ledger; after the retry there is
    exactly one entry for the version, alias and endpoint name it, and no request failed at any time.
    """
    before = scene.ledger()
    (challenger,) = scene.register(before[-1])
    code, _ = scene.promote(challenger, f"run-{challenger}", step, how)
    if code == 0:
        return None
    assert code == -signal.SIGKILL, f"step {step}: the promotion ended with {code}, not by the kill"
    promoted = scene.ledger()
    leads = scene.alias() not in promoted or scene.served() not in promoted
    retried, _ = scene.promote(challenger, f"run-{challenger}", how=how)
    once = retried == 0 and scene.ledger() == [*before, challenger]
    agree = scene.alias() == challenger and scene.await_served(challenger)
    unnoticed = not client.failures
    client.failures.clear()
    return not leads and once and agree and unnoticed


def start_at_once(scene: Scene, count: int, how: str = "promote") -> tuple[int, int]:
    """`race` in an installation that is there. `how` names a promotion of `promotion_process.PROMOTIONS`."""
    before = scene.ledger()
    barrier = _processes.Barrier(count)
    racers = []
    for version in scene.register(before[-1], count):
        reader, writer = _processes.Pipe(duplex=False)
        arguments = (scene.folder, scene.variables, version, barrier, how, writer)
        racers.append((_processes.Process(target=promotion_process.run_racer, args=arguments), reader))
        racers[-1][0].start()
        writer.close()
    results = []
    for process, reader in racers:
        results.append(reader.recv())
        process.join(60)
    winners = scene.ledger()[len(before) :]
    assert len(winners) == results.count(""), f"the ledger has {winners}, the racers sent {results}"
    return len(winners), sum("champion" in line and f"version {winners[0]}" in line for line in results if line)
