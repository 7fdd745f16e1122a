"""`make demo`: the whole loop on a running system, from raw files to a rollback, step by step.

Everything goes through Airflow, MLflow, Spark and the endpoint, as a user would do it: files arrive in the source folder,
DAGs are triggered through the REST API, and assets start what follows. No step calls a stage or a job itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import ConfigurationError, TitleholderError
from tasks.io.airflow import DONE, FINAL, AirflowApi
from tasks.io.decisions import DecisionLog
from tasks.io.endpoint import await_version, served_model
from tasks.io.ledger import Ledger
from tasks.io.polling import NotYet, wait_until
from tasks.io.storage import Storage
from tasks.settings import Settings, get_settings
from titleholder import services
from titleholder.demo_data import Calendar, check_folder, plan, spoil

CASE = "purchase_propensity"


@dataclass
class Step:
    """One line of the table at the end."""

    name: str
    outcome: str = ""
    where: str = ""
    seconds: float = 0.0
    is_ok: bool = False


@dataclass
class Load:
    """Requests to the endpoint, one after the other, from the first champion to the end. None may fail."""

    url: str
    users: list[str]
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    last_prediction: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send requests until `end` is called."""
        with httpx.Client(base_url=self.url, timeout=10) as client:
            while not self._stop.is_set():
                self.send(client, self.users[self.answered % len(self.users)])
                self._stop.wait(0.1)

    def send(self, client: httpx.Client, user: str) -> None:
        try:
            response = client.get(f"/v1/{CASE}/recommendations/{user}")
            response.raise_for_status()
            document = response.json()
            self.versions.add(document["model_version"])
            self.last_prediction = document["prediction_id"]
            self.answered += 1
        except (httpx.HTTPError, KeyError) as error:
            self.failures.append(repr(error))

    def end(self) -> None:
        """Stop sending requests."""
        self._stop.set()


class Demo:
    """The steps, and what they share."""

    def __init__(self, settings: Settings, console: Console, calendar: Calendar, warehouse: Path, *, real: bool) -> None:
        self.settings, self.console, self.calendar = settings, console, calendar
        self.warehouse, self.real = warehouse, real
        self.airflow = AirflowApi(settings)
        self.storage, self.ledger = Storage(settings.data_root), Ledger(settings.ledger_url)
        self.sources = settings.home / "sources" / CASE
        self.sources.mkdir(parents=True, exist_ok=True)
        self.steps: list[Step] = []
        self.load: Load | None = None
        self.began = time.monotonic()

    # output

    def say(self, line: str) -> None:
        """Print a line with the time since the start."""
        self.console.print(f"[dim]{time.monotonic() - self.began:6.1f} s[/]   {line}", highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """A step of the demo: its name when it begins, its outcome when it ends."""
        step = Step(name)
        self.steps.append(step)
        self.console.print(f"[dim]{time.monotonic() - self.began:6.1f} s[/] [bold]▸ {name}[/]", highlight=False)
        begin = time.monotonic()
        try:
            yield step
            step.is_ok = True
        except TitleholderError as error:
            step.outcome = str(error)
            raise
        finally:
            step.seconds = time.monotonic() - begin
            mark = "[green]✓[/]" if step.is_ok else "[red]✗[/]"
            self.say(f"{mark} {escape(step.outcome)}")

    def watch(self, dag: str, run_id: str, timeout: float = 600) -> str:
        """Wait for a run, print each task when it ends, and return the address of the run."""
        dag_id, page = f"{CASE}.{dag}", self.airflow.run_page(f"{CASE}.{dag}", run_id)
        shown: set[tuple[str, int]] = set()

        def probe() -> str:
            state: str = self.airflow.run(dag_id, run_id)["state"]
            for task in self.airflow.tasks(dag_id, run_id):
                key = (task["task_id"], task["map_index"])
                if task["state"] in DONE and key not in shown:
                    shown.add(key)
                    name = task.get("rendered_map_index") or ""
                    label = f"{dag}.{task['task_id']}" + (f" [{name}]" if name else "")
                    self.say(f"  [dim]{escape(f'{label:<48}')} {task['state']:<8} {task['duration'] or 0:5.1f} s[/]")
            if state not in FINAL:
                raise NotYet(state)
            return state

        state = wait_until(probe, seconds=timeout, pause=0.5, what=f"the run of {dag_id} to end", remedy=f"See {page}.")
        if state == "failed":
            raise TitleholderError(f"{dag_id} failed: {self._why(dag_id, run_id)}; see {page}")
        return page

    def trigger(self, dag: str, **conf: Any) -> str:
        """Start a DAG by hand, and wait for its run."""
        return self.watch(dag, self.airflow.trigger(f"{CASE}.{dag}", conf)["dag_run_id"])

    @contextlib.contextmanager
    def followed_by(self, *dags: str) -> Iterator[dict[str, str]]:
        """After the body, wait one by one for the runs of `dags` that assets start. Yields their addresses by DAG."""
        known = {dag: {run["dag_run_id"] for run in self.airflow.runs(f"{CASE}.{dag}")} for dag in dags}
        pages: dict[str, str] = {}
        yield pages
        for dag in dags:
            pages[dag] = self.watch(dag, self._first_new(dag, known[dag]))

    def _first_new(self, dag: str, known: set[str]) -> str:
        def probe() -> str:
            fresh = [run["dag_run_id"] for run in self.airflow.runs(f"{CASE}.{dag}") if run["dag_run_id"] not in known]
            if not fresh:
                raise NotYet(f"{len(known)} earlier runs")
            return str(fresh[0])

        what = f"the asset to start a run of {CASE}.{dag}"
        return wait_until(probe, seconds=90, pause=0.5, what=what, remedy=f"See {self.airflow.url}.")

    def _why(self, dag_id: str, run_id: str) -> str:
        for task in self.airflow.tasks(dag_id, run_id):
            if task["state"] == "failed":
                lines = self.airflow.log(dag_id, run_id, task["task_id"], task["try_number"]).splitlines()
                errors = [line for line in lines if "Error: " in line or "Exception: " in line or "Failed: " in line]
                return f"({task['task_id']}: {' | '.join(errors[-2:])})"
        return ""

    # the steps

    def arrive(self, window: Window) -> int:
        """Copy the files of a window into the source folder, and return their number."""
        days = [window.start + timedelta(days=offset) for offset in range(window.days)]
        found = [self.warehouse / f"{day.isoformat()}.csv" for day in days]
        present = [path for path in found if path.is_file()]
        for path in present:
            shutil.copyfile(path, self.sources / path.name)
        return len(present)

    def ingest(self, window: Window) -> str:
        """Run the features DAG for a window."""
        return self.trigger("features", window_start=window.start.isoformat(), window_end=window.end.isoformat())

    def run(self) -> None:
        """Start everything, then all steps in their order."""
        self.say("this takes about eight minutes; the table at the end shows where to look at each step")
        with self.step("Start Airflow, MLflow, Spark and the endpoint") as step:
            services.start(self.settings, lambda line: self.say(f"[dim]{line}[/]"))
            self._await_dags()
            step.outcome, step.where = f"{len(services.table(self.settings))} processes under a supervisor", self.airflow.url
        self.first_champion()
        self.send_requests()
        self.dirty_file()
        self.worse_challenger()
        self.drift()
        self.roll_back()
        self.trace()

    def first_champion(self) -> None:
        """Raw files become features, a trained model and a champion."""
        with self.step("First champion: raw files to a served model") as step:
            files = self.arrive(self.calendar.history)
            self.say(f"{files} daily files arrive, {self.calendar.history.label}")
            with self.followed_by("monitoring", "training", "promotion") as pages:
                self.ingest(self.calendar.history)
            head = self._head()
            step.outcome = f"version {head.version} promoted by {head.actor} and served"
            step.where = pages["promotion"]

    def send_requests(self) -> None:
        """Known users and an unknown one ask the endpoint; then requests go on in the background."""
        with self.step("Requests to the endpoint") as step:
            features = self.storage.newest(CASE, c.FEATURES)
            if features is None:
                raise TitleholderError("no features were published")
            users = sorted(self.storage.read(features, c.USERS, [c.USER_ID])[c.USER_ID])
            self.load = Load(self.settings.endpoint_url, users[:300])
            begin = time.monotonic()
            with httpx.Client(base_url=self.settings.endpoint_url, timeout=10) as client:
                for user in [*self.load.users, "unknown-user"]:
                    self.load.send(client, user)
            rate = self.load.answered / (time.monotonic() - begin)
            self._no_failures()
            step.outcome = f"{self.load.answered} answered one by one ({rate:.0f}/s), 0 failed, all in the prediction log"
            step.where = f"{self.settings.endpoint_url}/v1/{CASE}/recommendations/{users[0]}"
            threading.Thread(target=self.load.run, daemon=True).start()

    def dirty_file(self) -> None:
        """A file with bad rows: they go to quarantine, and the others are used."""
        with self.step("A dirty file arrives") as step:
            self.arrive(self.calendar.dirty)
            if self.real:
                spoil(self.sources / f"{self.calendar.dirty.start.isoformat()}.csv")
            with self.followed_by("monitoring"):
                step.where = self.ingest(self.calendar.dirty)
            ref = self.storage.current(CASE, c.QUARANTINE, self.calendar.dirty.label)
            if ref is None or not ref.rows[c.ROWS]:
                raise TitleholderError("no row of the dirty file went to quarantine")
            broken = self.storage.read(ref, c.ROWS, [c.BROKEN_RULES])[c.BROKEN_RULES].value_counts()
            worst = ", ".join(f"{rules} {count}" for rules, count in broken.head(3).items())
            step.outcome = f"{ref.rows[c.ROWS]} rows in quarantine ({worst}); the other rows are used"

    def worse_challenger(self) -> None:
        """A simple model is trained, and the gates refuse it."""
        with self.step("A worse challenger is refused") as step:
            before = self._head()
            conf = {"as_of": self.calendar.dirty.end.isoformat(), "candidates": ["popularity"]}
            run = self.airflow.trigger(f"{CASE}.training", conf)["dag_run_id"]
            step.where = self.watch("training", run)
            version = self.airflow.xcom(f"{CASE}.training", run, "register")
            if version["passed"] or self._head() != before:
                raise TitleholderError(f"version {version['version']} passed its gates, expected a refusal")
            verdict = self.airflow.xcom(f"{CASE}.training", run, "judge")
            reasons = [f"{g['gate']}: {g['reason']}" for g in verdict["gates"] if not g["passed"]]
            for reason in reasons:
                self.say(escape(f"  refused by {reason}"))
            step.outcome = f"version {version['version']} (popularity) refused by {len(reasons)} gates; the champion stays"
            step.where = f"{self.settings.mlflow_tracking_uri}/#/models/{CASE}/versions/{version['version']}"

    def drift(self) -> None:
        """Later days drift: monitoring requests a retraining, and the new model replaces the champion."""
        before = self._head()
        for place, window in enumerate(self.calendar.later, start=1):
            with self.step(f"Later days arrive ({place} of {len(self.calendar.later)})") as step:
                self.arrive(window)
                with self.followed_by("monitoring") as pages:
                    self.ingest(window)
                decision = DecisionLog(self.settings.ledger_url).decisions(CASE)[-1]
                step.outcome = f"{'RETRAIN' if decision.retrain else 'no retraining'}: {decision.reason}"
                step.where = pages["monitoring"]
                is_requested = decision.retrain
            if is_requested:
                break
        with self.step("A new challenger") as step:
            if is_requested:
                with self.followed_by("promotion") as pages:
                    self.watch("training", self._first_new("training", self._known_training()))
            elif self.real:
                self.say("monitoring requested no retraining for these days: the demo triggers one")
                version = self._train_by_hand(window)
                if not version["passed"]:
                    step.outcome = f"version {version['version']} did not beat the champion, which stays"
                    step.where = f"{self.settings.mlflow_tracking_uri}/#/models/{CASE}"
                    return
                with self.followed_by("promotion") as pages:
                    pass
            else:
                raise TitleholderError("monitoring did not notice the drift of the generated days")
            head = self._head()
            if head.version == before.version:
                raise TitleholderError("the champion did not change")
            await_version(CASE, head.version)
            self._no_failures()
            step.outcome = f"version {head.version} replaces version {before.version}; no request failed during the swap"
            step.where = f"{self.settings.mlflow_tracking_uri}/#/models/{CASE}/versions/{head.version}"

    def roll_back(self) -> None:
        """The former champion becomes the champion again."""
        with self.step("Rollback") as step:
            before = self._head()
            if before.previous_version is None:
                step.outcome = "there is no former champion"
                return
            step.where = self.trigger("rollback", actor="demo", reason="a step of the demo")
            head, served = self._head(), served_model(CASE)
            if head.version != before.previous_version or served is None or served["version"] != head.version:
                raise TitleholderError(
                    f"the rollback failed: the ledger names version {head.version}, the endpoint serves {served}"
                )
            self._no_failures()
            step.outcome = f"version {head.version} is the champion again, by {head.actor}: {head.reason}"

    def trace(self) -> None:
        """No request failed, and the ledger's chain is intact."""
        if self.load is None:
            return
        with self.step("Every prediction can be traced") as step:
            self.load.end()
            self._no_failures()
            broken = self.ledger.broken_links(CASE)
            if broken:
                raise TitleholderError(f"the ledger's chain is broken at {broken}")
            step.outcome = (
                f"{self.load.answered} answers by versions {', '.join(map(str, sorted(self.load.versions)))}, 0 failed; "
                f"{len(self.ledger.entries(CASE))} ledger entries, chain intact"
            )
            step.where = f"titleholder explain {CASE} {self.load.last_prediction}"

    def _train_by_hand(self, window: Window) -> dict[str, Any]:
        run = self.airflow.trigger(f"{CASE}.training", {"as_of": window.end.isoformat()})["dag_run_id"]
        self.watch("training", run)
        version: dict[str, Any] = self.airflow.xcom(f"{CASE}.training", run, "register")
        return version

    def _known_training(self) -> set[str]:
        """Training runs that have ended: the run that was just requested has not."""
        return {run["dag_run_id"] for run in self.airflow.runs(f"{CASE}.training") if run["state"] in FINAL}

    def _await_dags(self) -> None:
        expected = {
            f"{CASE}.{dag}"
            for dag in ("features", "training", "promotion", "batch_scoring", "monitoring", "rollback", "backtest")
        }

        def probe() -> None:
            if missing := expected - self.airflow.dag_ids():
                errors = [one["stack_trace"][-500:] for one in self.airflow.get("/importErrors")["import_errors"]]
                raise NotYet(f"{', '.join(sorted(missing))} missing, import errors: {errors or 'none'}")

        wait_until(probe, seconds=90, pause=0.5, what="Airflow to parse the DAGs")

    def _head(self) -> Any:
        head = self.ledger.head(CASE)
        if head is None:
            raise TitleholderError(f"{CASE} has no champion: see the training run in {self.airflow.url}")
        return head

    def _no_failures(self) -> None:
        if self.load is not None and self.load.failures:
            raise TitleholderError(f"{len(self.load.failures)} requests failed, the first with {self.load.failures[0]}")

    def table(self) -> Table:
        """All steps with their outcomes."""
        table = Table(title="What happened", title_justify="left")
        for name in ("step", "outcome", "seconds", "where to look"):
            table.add_column(name, justify="right" if name == "seconds" else "left", overflow="fold")
        for step in self.steps:
            mark = "[green]✓[/]" if step.is_ok else "[red]✗[/]"
            table.add_row(f"{mark} {step.name}", escape(step.outcome), f"{step.seconds:.1f}", step.where)
        table.add_section()
        table.add_row("total", "", f"{time.monotonic() - self.began:.1f}", str(self.settings.home))
        return table


def run(data: Path | None, *, keep: bool) -> int:
    """Run the demo in an installation of its own, `<home>/demo`, which is created anew each time.

    Parameters
    ----------
    data : folder with daily invoice files; None: files are generated.
    keep : leave everything running at the end.

    Returns
    -------
    int : the exit code, 0 if every step succeeded.
    """
    base = get_settings()
    message = f"another demo runs in {base.home / 'demo'}: wait for its end, or stop it with `make down`"
    with services.only_one(base.home / "demo.lock", message):
        return _run(base, data, keep)


def _run(base: Settings, data: Path | None, keep: bool) -> int:
    console = Console(width=None if os.isatty(1) else 150)
    home = base.home.resolve() / "demo"
    settings = base.model_copy(update={"home": home, "schedules": "off", "source_paths": {}, "database_url": ""})
    if services.is_running(settings):
        raise ConfigurationError(f"a demo still runs in {home}: stop it with `make down`")
    warehouse = check_folder(data) if data else home / "warehouse"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    # The adapters of this process (MLflow, ledger) must use the demo's installation, not the user's.
    os.environ.update(services.variables(settings))
    get_settings.cache_clear()
    signal.signal(signal.SIGTERM, _interrupt)
    demo = Demo(settings, console, plan(data), warehouse, real=data is not None)
    code = 1
    try:
        if data is None:
            _generate(demo)
        demo.run()
        code = 0
    except KeyboardInterrupt:
        console.print("[red]interrupted[/]")
    except TitleholderError as error:
        console.print(f"[red bold]The demo stopped:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    finally:
        if demo.load:
            demo.load.end()
        if not (keep and code == 0):
            services.stop(settings, demo.say)
    console.print(demo.table())
    if code == 0 and keep:
        for service in services.services(settings):
            console.print(f"[green]●[/] {service.name:<9} {service.url}", highlight=False)
        console.print(
            f"Inspect it with TITLEHOLDER_HOME={home} .venv/bin/titleholder status. Stop it with make down.", highlight=False
        )
    elif code:
        console.print(f"Logs: {home / 'logs'}", highlight=False)
    return code


def _generate(demo: Demo) -> None:
    from tasks.stages.ingestion.generator import Knobs, generate_invoices

    with demo.step("Generate daily invoice files") as step:
        calendar = demo.calendar
        knobs = Knobs(drift_from=calendar.later[0].start, dirty_day=calendar.dirty.start, dirt=0.06)
        generate_invoices(demo.warehouse, calendar.history.start, calendar.later[-1].end, 7, knobs)
        step.outcome = (
            f"{len(list(demo.warehouse.glob('*.csv')))} files; the users' preferences change on {calendar.later[0].start}"
        )
        step.where = str(demo.warehouse)


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt
