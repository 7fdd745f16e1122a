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
from collections.abc import Iterator, Mapping
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
from tasks.errors import (
    ConfigurationError,
    LeakageFound,
    NotEnoughData,
    SourceError,
    TitleholderError,
    ValidationFailed,
)
from tasks.io.airflow import DONE, FINAL, AirflowApi
from tasks.io.decisions import DecisionLog
from tasks.io.endpoint import await_version, served_model
from tasks.io.ledger import Ledger
from tasks.io.polling import NotYet, wait_until
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage
from tasks.settings import Settings, get_settings
from titleholder import services
from titleholder.demo_data import Calendar, check_folder, plan, spoil
from titleholder.demo_report import NotPossible, State, Step, make_table, summarize

CASE = "purchase_propensity"
LOGGED_WITHIN_SECONDS = 60.0
DATA_FAULTS = (SourceError, ValidationFailed, NotEnoughData, LeakageFound)  # what data, and not the system, can be blamed for


@dataclass
class Load:
    """Requests to the endpoint, one after the other, from the first champion to the end. None may fail."""

    url: str
    users: list[str]
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)  # prediction id -> the version that answered
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Send requests in the background until `end` is called."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as client:
            while not self._stop.is_set():
                self.send(client, self.users[self.answered % len(self.users)])
                self._stop.wait(0.1)

    def send(self, client: httpx.Client, user: str) -> None:
        try:
            response = client.get(f"/v1/{CASE}/recommendations/{user}")
            response.raise_for_status()
            document = response.json()
            self.versions[document["prediction_id"]] = document["model_version"]
            self.answered += 1
        except (httpx.HTTPError, KeyError) as error:
            self.failures.append(repr(error))

    def end(self) -> None:
        """Stop sending requests, and wait for the last one."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)


class Demo:
    """The steps, and what they share."""

    def __init__(self, settings: Settings, console: Console, calendar: Calendar, warehouse: Path, *, real: bool) -> None:
        self.settings, self.console, self.calendar = settings, console, calendar
        self.warehouse, self.real = warehouse, real
        self.airflow = AirflowApi(settings)
        self.storage, self.ledger = Storage(settings.data_root), Ledger(settings.ledger_url)
        self.log = PredictionLog(settings.predictions_root)
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
        """A step of the demo: its name when it begins, its outcome when it ends.

        A body that ends without an error has read back the fact that proves the step. Where real data do not allow it, the
        body raises `NotPossible`, and the demo continues; generated data allow every step, so there it is a failure.
        """
        step = Step(name)
        self.steps.append(step)
        self.console.print(f"[dim]{time.monotonic() - self.began:6.1f} s[/] [bold]▸ {name}[/]", highlight=False)
        begin = time.monotonic()
        try:
            yield step
            step.state = State.DONE
        except NotPossible as error:
            step.outcome = str(error)
            if not self.real:
                raise
            step.state = State.NOT_POSSIBLE
        except TitleholderError as error:
            step.outcome = str(error)
            raise
        finally:
            step.seconds = time.monotonic() - begin
            self.say(
                f"{step.mark} {escape(f'not possible: {step.outcome}' if step.state is State.NOT_POSSIBLE else step.outcome)}"
            )

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
        known = {dag: self._known(dag) for dag in dags}
        pages: dict[str, str] = {}
        yield pages
        for dag in dags:
            pages[dag] = self.watch(dag, self._first_new(dag, known[dag]))

    def _known(self, dag: str) -> set[str]:
        return {run["dag_run_id"] for run in self.airflow.runs(f"{CASE}.{dag}")}

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
                names = ("Error: ", "Exception: ", *(f"{kind.__name__}: " for kind in DATA_FAULTS))
                errors = [line for line in lines if any(name in line for name in names)]
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
            silent = [service.name for service in services.services(self.settings) if not service.answers()]
            if silent:
                raise TitleholderError(f"{', '.join(silent)} does not answer")
            step.outcome, step.where = f"{len(services.table(self.settings))} processes under a supervisor", self.airflow.url
        self.first_champion()
        self.send_requests()
        self.dirty_file()
        self.simple_challenger()
        self.drift()
        self.roll_back()
        self.trace()

    def first_champion(self) -> None:
        """Raw files become features, a trained model and a champion."""
        with self.step("First champion: raw files to a served model") as step:
            files = self.arrive(self.calendar.history)
            self.say(f"{files} daily files arrive, {self.calendar.history.label}")
            known, promotions = self._known("training"), self._known("promotion")
            with self.followed_by("monitoring"):
                self.ingest(self.calendar.history)
            run = self._first_new("training", known)
            step.where = self._watch_training(run)
            self._demand_passed(run)
            step.where = self.watch("promotion", self._first_new("promotion", promotions))
            head = self._head()
            self._demand_served(head.version)
            step.outcome = f"version {head.version} promoted by {head.actor} and served"

    def send_requests(self) -> None:
        """Known users and an unknown one ask the endpoint; then requests go on in the background."""
        with self.step("Requests to the endpoint") as step:
            self._demand_champion()
            features = self.storage.newest(CASE, c.FEATURES)
            if features is None:
                raise TitleholderError("no features were published")
            users = sorted(self.storage.read(features, c.USERS, [c.USER_ID])[c.USER_ID])
            load = Load(self.settings.endpoint_url, users[:300])
            begin = time.monotonic()
            with httpx.Client(base_url=self.settings.endpoint_url, timeout=10) as client:
                for user in [*load.users, "unknown-user"]:
                    load.send(client, user)
            rate = load.answered / (time.monotonic() - begin)
            self.load = load
            self._no_failures()
            self._await_logged(load.versions)
            step.outcome = f"{load.answered} answered one by one ({rate:.0f}/s), 0 failed, all in the prediction log"
            step.where = f"{self.settings.endpoint_url}/v1/{CASE}/recommendations/{users[0]}"
            load.start()

    def dirty_file(self) -> None:
        """A file with bad rows: they go to quarantine, and the others are used."""
        with self.step("A dirty file arrives") as step:
            window = self.calendar.dirty
            if not self.arrive(window):
                raise NotPossible(f"there is no file of {window.start}")
            if self.real:
                spoil(self.sources / f"{window.start.isoformat()}.csv")
            with self._as_not_possible(), self.followed_by("monitoring"):
                step.where = self.ingest(window)
            ref, used = (self.storage.current(CASE, layer, window.label) for layer in (c.QUARANTINE, c.VALIDATED))
            if ref is None or not ref.rows[c.ROWS]:
                raise TitleholderError("no row of the dirty file went to quarantine")
            if used is None or not used.rows[c.ROWS]:
                raise TitleholderError("no row of the dirty file was used")
            broken = self.storage.read(ref, c.ROWS, [c.BROKEN_RULES])[c.BROKEN_RULES].value_counts()
            worst = ", ".join(f"{rules} {count}" for rules, count in broken.head(3).items())
            by = ", which the demo spoilt" if self.real else ""
            step.outcome = (
                f"{ref.rows[c.ROWS]} rows of {window.start}{by} in quarantine ({worst}); the other {used.rows[c.ROWS]} are used"
            )

    def simple_challenger(self) -> None:
        """A simple model is trained, and the gates refuse it."""
        with self.step("A simple challenger is refused") as step:
            self._demand_champion()
            before, promotions = self._head(), self._known("promotion")
            conf = {"as_of": self.calendar.dirty.end.isoformat(), "candidates": ["popularity"]}
            run = self.airflow.trigger(f"{CASE}.training", conf)["dag_run_id"]
            step.where = self._watch_training(run)
            version = self.airflow.xcom(f"{CASE}.training", run, "register")
            step.where = f"{self.settings.mlflow_tracking_uri}/#/models/{CASE}/versions/{version['version']}"
            if version["passed"]:
                self.watch("promotion", self._first_new("promotion", promotions))
                raise NotPossible(f"version {version['version']} (popularity) passed every gate, and is the champion now")
            reasons = self._refusals(run)
            for gate, reason in reasons.items():
                self.say(escape(f"  refused by {gate}: {reason}"))
            if "beats_champion" not in reasons:
                raise NotPossible(
                    f"version {version['version']} (popularity) beats the champion; only {', '.join(reasons)} refused it"
                )
            if self._head() != before:
                raise TitleholderError(f"version {version['version']} was refused, and the champion changed")
            step.outcome = f"version {version['version']} (popularity) refused by {len(reasons)} gates; the champion stays"

    def drift(self) -> None:
        """Later days drift: monitoring requests a retraining, and the new model replaces the champion."""
        before, trainings, promotions = self.ledger.head(CASE), self._known("training"), self._known("promotion")
        window, is_requested = self.calendar.later[0], False
        for place, window in enumerate(self.calendar.later, start=1):
            with self.step(f"Later days arrive ({place} of {len(self.calendar.later)})") as step:
                self._demand_champion()
                if not self.arrive(window):
                    raise NotPossible(f"there is no file of {window.label}")
                with self._as_not_possible(), self.followed_by("monitoring") as pages:
                    self.ingest(window)
                decision = DecisionLog(self.settings.ledger_url).decisions(CASE)[-1]
                if decision.window != window:
                    raise TitleholderError(f"monitoring decided about {decision.window.label}, expected {window.label}")
                step.outcome = f"{'RETRAIN' if decision.retrain else 'no retraining'}: {decision.reason}"
                step.where = pages["monitoring"]
                is_requested = decision.retrain
            if is_requested:
                break
        with self.step("A new challenger replaces the champion") as step:
            if before is None:
                raise NotPossible("there is no champion")
            if is_requested:
                run = self._first_new("training", trainings)
            elif self.real:
                self.say("monitoring requested no retraining for these days: the demo triggers one")
                run = self.airflow.trigger(f"{CASE}.training", {"as_of": window.end.isoformat()})["dag_run_id"]
            else:
                raise TitleholderError("monitoring did not notice the drift of the generated days")
            step.where = self._watch_training(run)
            self._demand_passed(run)
            self.watch("promotion", self._first_new("promotion", promotions))
            head = self._head()
            if head.version == before.version:
                raise TitleholderError("the champion did not change")
            await_version(CASE, head.version)
            self._demand_served(head.version)
            self._no_failures()
            by = "requested by monitoring" if is_requested else "requested by the demo, because monitoring requested none"
            step.outcome = f"version {head.version} replaces version {before.version}, {by}; no request failed during the swap"
            step.where = f"{self.settings.mlflow_tracking_uri}/#/models/{CASE}/versions/{head.version}"

    def roll_back(self) -> None:
        """The former champion becomes the champion again."""
        with self.step("Rollback") as step:
            self._demand_champion()
            before = self._head()
            if before.previous_version is None:
                raise NotPossible("there is no former champion")
            step.where = self.trigger("rollback", actor="demo", reason="a step of the demo")
            head = self._head()
            if head.version != before.previous_version:
                raise TitleholderError(f"the rollback failed: the ledger names version {head.version}")
            self._demand_served(head.version)
            self._no_failures()
            step.outcome = f"version {head.version} is the champion again, by {head.actor}: {head.reason}"

    def trace(self) -> None:
        """Every answer is in the prediction log, by the model that the ledger names, and the ledger's chain is intact."""
        with self.step("Every prediction can be traced") as step:
            if self.load is None:
                raise NotPossible("no request was sent")
            self.load.end()
            self._no_failures()
            broken = self.ledger.broken_links(CASE)
            if broken:
                raise TitleholderError(f"the ledger's chain is broken at {broken}")
            logged = self._await_logged(self.load.versions)
            self._demand_traceable(logged)
            step.outcome = (
                f"{len(logged)} answers by versions {', '.join(map(str, sorted(set(logged.values()))))}, all in the prediction "
                f"log with the model that the ledger names; {len(self.ledger.entries(CASE))} ledger entries, chain intact"
            )
            step.where = f"titleholder explain {CASE} {next(reversed(self.load.versions))}"

    # facts

    @contextlib.contextmanager
    def _as_not_possible(self) -> Iterator[None]:
        """Real files that a step cannot read, that break too many rules, or that are too few do not allow it.

        Any other failure of a run is one of the demo.
        """
        try:
            yield
        except TitleholderError as error:
            if any(f"{kind.__name__}: " in str(error) for kind in DATA_FAULTS):
                raise NotPossible(str(error)) from error
            raise

    def _watch_training(self, run: str) -> str:
        """Wait for a training. Data that are too few to train on do not allow the step."""
        with self._as_not_possible():
            return self.watch("training", run)

    def _demand_champion(self) -> None:
        if self.ledger.head(CASE) is None:
            raise NotPossible("there is no champion")

    def _demand_passed(self, run: str) -> None:
        version = self.airflow.xcom(f"{CASE}.training", run, "register")
        if not version["passed"]:
            reasons = "; ".join(f"{gate}: {reason}" for gate, reason in self._refusals(run).items())
            raise NotPossible(f"the gates refused version {version['version']}: {reasons}")

    def _refusals(self, run: str) -> dict[str, str]:
        """Gate -> reason, of those that refused the challenger of a training."""
        verdict = self.airflow.xcom(f"{CASE}.training", run, "judge")
        return {gate["gate"]: gate["reason"] for gate in verdict["gates"] if not gate["passed"] and gate["mode"] == "enabled"}

    def _demand_served(self, version: int) -> None:
        served = served_model(CASE)
        if served is None or served["version"] != version:
            raise TitleholderError(f"the ledger names version {version}, the endpoint serves {served}")

    def _await_logged(self, answered: Mapping[str, int]) -> dict[str, int]:
        """The version of each answer by the prediction log, which the endpoint writes a moment later."""
        sent = dict(answered)

        def probe() -> dict[str, int]:
            logged = {one.prediction_id: one.model_version for one in self.log.read(CASE) if one.prediction_id in sent}
            if len(logged) < len(sent):
                raise NotYet(f"{len(sent) - len(logged)} of {len(sent)} missing")
            return logged

        logged = wait_until(probe, seconds=LOGGED_WITHIN_SECONDS, pause=0.5, what="the prediction log to hold every answer")
        if logged != sent:
            raise TitleholderError("the prediction log names other versions than the answers")
        return logged

    def _demand_traceable(self, logged: Mapping[str, int]) -> None:
        """The last answer of each version names the model that the ledger has for it, and features that are there."""
        digests = {entry.version: entry.manifest_digest for entry in self.ledger.entries(CASE)}
        for version, prediction_id in {version: one for one, version in logged.items()}.items():
            found = self.log.find(CASE, prediction_id)
            if found is None or found.manifest_digest != digests.get(version):
                raise TitleholderError(
                    f"prediction {prediction_id} names another model than the ledger has for version {version}"
                )

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

    def summary(self) -> str:
        """How many steps happened, and why the others did not."""
        return summarize(self.steps)

    def table(self) -> Table:
        """All steps with their outcomes."""
        return make_table(self.steps, time.monotonic() - self.began, str(self.settings.home))


def run(data: Path | None, *, keep: bool) -> int:
    """Run the demo in an installation of its own, `<home>/demo`, which is created anew each time.

    Parameters
    ----------
    data : folder with daily invoice files; None: files are generated.
    keep : leave everything running at the end.

    Returns
    -------
    int : the exit code, 0 if no step failed. A step that real data do not allow is no failure.
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
    console.print(demo.summary(), highlight=False, markup=False, soft_wrap=True)
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
        # So many users come in two weeks that the gain of a retraining shows beyond chance.
        size = {"customers": 1000, "invoices_per_day": 110}
        knobs = Knobs(drift_from=calendar.later[0].start, dirty_day=calendar.dirty.start, dirt=0.06, **size)
        generate_invoices(demo.warehouse, calendar.history.start, calendar.later[-1].end, 7, knobs)
        step.outcome = (
            f"{len(list(demo.warehouse.glob('*.csv')))} files; the users' preferences change on {calendar.later[0].start}"
        )
        step.where = str(demo.warehouse)


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt
