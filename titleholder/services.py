"""Start and stop all services on one machine: supervisord runs MLflow, Spark, Airflow, the endpoint and the watch."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from tasks.errors import ConfigurationError, ServiceUnavailable
from tasks.io.polling import NotYet, wait_until
from tasks.io.spark import SERVER_CONF, SESSION_CONF
from tasks.settings import ROOT, Settings
from tasks.use_case import list_use_cases, load_use_case
from titleholder import preflight

Say = Callable[[str], None]
NEEDED_MEMORY_GB, NEEDED_DISK_GB = 4.0, 2.0  # measured use of all processes together, with a margin for data


@dataclass(frozen=True)
class Service:
    """A service with pages of its own: its name, its address, and the path of its health check."""

    name: str
    url: str
    health: str

    @property
    def port(self) -> int:
        """The port of the address."""
        return urlsplit(self.url).port or 80

    def answers(self) -> bool:
        """Whether the health check answers with 200."""
        try:
            return httpx.get(f"{self.url}{self.health}", timeout=3).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False


def services(settings: Settings) -> list[Service]:
    """The services with pages of their own."""
    return [
        Service("Airflow", settings.airflow_url, "/api/v2/monitor/health"),
        Service("MLflow", settings.mlflow_tracking_uri, "/health"),
        Service("endpoint", settings.endpoint_url, "/healthz"),
        Service("watch", settings.watch_url, "/healthz"),
    ]


def spark_port(settings: Settings) -> int:
    """The port of the local Spark Connect server."""
    return urlsplit(settings.spark_remote).port or 15002 if settings.spark_remote else 15002


def variables(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for the processes of this installation."""
    remote = settings.spark_remote or f"sc://127.0.0.1:{spark_port(settings)}"
    # What `up` starts listens on loopback only, so keys are off unless the settings require them. Production requires them.
    keys = settings.endpoint_keys if "endpoint_keys" in settings.model_fields_set else "off"
    complete = settings.model_copy(update={"home": settings.home.resolve(), "spark_remote": remote, "endpoint_keys": keys})
    values = complete.model_dump(mode="json")
    return {
        f"TITLEHOLDER_{name.upper()}": json.dumps(value) if isinstance(value, dict | list) else str(value)
        for name, value in values.items()
    }


def environment(settings: Settings) -> dict[str, str]:
    """The environment of all processes of an installation."""
    import pyspark

    home = settings.home.resolve()
    airflow, mlflow, endpoint, _ = (service.port for service in services(settings))
    shared = {
        **os.environ,
        **variables(settings),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "TITLEHOLDER_ROOT": str(ROOT),
        "TITLEHOLDER_BIN": str(Path(sys.executable).parent),
        "TITLEHOLDER_SOCKET": str(_socket(home)),
        "TITLEHOLDER_WEBHOOK_TOKEN": settings.webhook_token or webhook_token(home),
        "AIRFLOW_PORT": str(airflow),
        "MLFLOW_PORT": str(mlflow),
        "ENDPOINT_PORT": str(endpoint),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves seven worker processes that nothing here uses
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "PYSPARK_PYTHON": sys.executable,
        "SPT_NOENV": "1",  # Airflow renames its processes; `processes` below reads their environment, which must stay intact
        "OMP_NUM_THREADS": "1",  # sums in the same order on every run
        "OPENBLAS_NUM_THREADS": "1",
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",  # loopback only; production has users
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__API__BASE_URL": settings.airflow_url,
        "AIRFLOW__API__SECRET_KEY": _secret(home, "api"),
        "AIRFLOW__API_AUTH__JWT_SECRET": _secret(home, "jwt"),
        "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": "86400",  # long tasks were killed by the expiry: airflow #67939
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow/airflow.db",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }
    shared.pop("PYTHONDONTWRITEBYTECODE", None)  # every task is a process: imports without bytecode cost twice
    return shared


def webhook_token(home: Path) -> str:
    """The token that the watch expects from Alertmanager, unless TITLEHOLDER_WEBHOOK_TOKEN is set."""
    return _secret(home, "webhook")


def start(settings: Settings, say: Say) -> None:
    """Start all services and wait until each of them answers.

    Raises
    ------
    ConfigurationError : a requirement is missing, or a port is in use. Nothing was started.
    ServiceUnavailable : a service did not come up. Everything was stopped again; names the folder of the logs.
    """
    home = settings.home.resolve()
    if is_running(settings):
        raise ConfigurationError(f"Titleholder runs in {home}: see `titleholder status`, or stop it with `make down`")
    ports = [service.port for service in services(settings)] + [spark_port(settings)]
    faults = preflight.check(ports=ports, memory_gb=NEEDED_MEMORY_GB, disk_gb=NEEDED_DISK_GB)
    if faults:
        raise ConfigurationError("\n".join(faults))
    for folder in ("airflow", "mlflow", "logs", "data", "predictions", "sources"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    _make_source_folders(home)
    _write_spark_conf(settings)
    env = environment(settings)
    with only_one(home / "up.lock", f"another `make up` is starting Titleholder in {home}: wait for its end"):
        _end_orphans(home)
        subprocess.run([_bin("supervisord"), "-c", str(ROOT / "supervisord.conf")], env=env, check=True, cwd=ROOT)
        try:
            say("preparing Airflow's database")
            log = home / "logs" / "airflow-migrate.log"
            with log.open("w") as stream:
                done = subprocess.run([_bin("airflow"), "db", "migrate"], env=env, stdout=stream, stderr=stream, check=False)
            if done.returncode:
                raise ServiceUnavailable(f"`airflow db migrate` failed: see {log}")
            say("starting Airflow, MLflow, Spark, the endpoint and the watch")
            _ctl(settings, "start", "airflow:*")
            _await_all(settings, say)
        except BaseException:
            stop(settings, say)
            raise


def stop(settings: Settings, say: Say) -> bool:
    """Stop everything, also what a killed supervisor left behind. Returns False if nothing ran."""
    home = settings.home.resolve()
    ran = is_running(settings)
    if ran:
        _ctl(settings, "shutdown")
        with contextlib.suppress(ServiceUnavailable):  # what still runs is ended below
            wait_until(lambda: _check_ended(settings), seconds=30, pause=0.2, what="the supervisor to end")
    return bool(_end_orphans(home)) or ran


def is_running(settings: Settings) -> bool:
    """Whether the supervisor of this installation runs."""
    try:
        pid = int((settings.home.resolve() / "supervisord.pid").read_text())
        return "supervisord" in " ".join(psutil.Process(pid).cmdline())
    except (OSError, ValueError, psutil.Error):
        return False


def processes(home: Path) -> list[psutil.Process]:
    """All processes of an installation, recognized by their environment; without this process and its parents."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            # TITLEHOLDER_SOCKET is set for our servers only: a shell that exports TITLEHOLDER_HOME is not one of them.
            if process.pid not in own and process.environ().get("TITLEHOLDER_SOCKET") == str(_socket(home.resolve())):
                found.append(process)
    return found


def table(settings: Settings) -> list[tuple[str, str, str]]:
    """Each supervised program with its state and details, as supervisor reports them."""
    done = _ctl(settings, "status")
    rows = [line.split(maxsplit=2) for line in done.splitlines() if line.strip()]
    return [(row[0], row[1], row[2] if len(row) > 2 else "") for row in rows if len(row) > 1]


def _check_ended(settings: Settings) -> None:
    if is_running(settings):
        raise NotYet("it runs")


def _await_all(settings: Settings, say: Say) -> None:
    """Wait until each service answers, and report each as it comes up."""
    spark_log = settings.home.resolve() / "logs" / "spark.log"
    waiting: dict[str, tuple[str, Callable[[], bool]]] = {
        service.name: (service.url, service.answers) for service in services(settings)
    }
    waiting["Spark Connect"] = (
        f"sc://127.0.0.1:{spark_port(settings)}",
        lambda: spark_log.is_file() and "Spark Connect server started" in spark_log.read_text(errors="replace"),
    )

    def probe() -> None:
        for name, (address, is_up) in list(waiting.items()):
            if is_up():
                del waiting[name]
                say(f"{name} is up at {address}")
        if waiting:
            raise NotYet(f"{', '.join(waiting)} not up")

    remedy = f"See the logs in {settings.home / 'logs'}."
    wait_until(probe, seconds=240, pause=0.5, what="all services to come up", remedy=remedy)


def _make_source_folders(home: Path) -> None:
    """Create the source folders under home. An empty folder means that no file has arrived; a missing one is an error."""
    for name in list_use_cases():
        with contextlib.suppress(ConfigurationError):  # Airflow and `doctor` report a broken file
            path = load_use_case(name).source_path
            if path is not None and path.resolve().is_relative_to(home):
                path.mkdir(parents=True, exist_ok=True)


def _write_spark_conf(settings: Settings) -> None:
    conf = {
        **SESSION_CONF,
        **SERVER_CONF,
        "spark.log.level": "INFO",  # the line that `_await_all` reads has the level INFO
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(spark_port(settings)),
        "spark.sql.warehouse.dir": str(settings.home.resolve() / "spark-warehouse"),
    }
    text = "".join(f"{key} {value}\n" for key, value in conf.items())
    (settings.home.resolve() / "spark.conf").write_text(text)


def _ctl(settings: Settings, *words: str) -> str:
    command = [_bin("supervisorctl"), "-c", str(ROOT / "supervisord.conf"), *words]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout


def _bin(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _socket(home: Path) -> Path:
    """A path in the temporary folder: the path of a Unix socket may have 107 bytes, which a home can exceed."""
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"titleholder-{os.getuid()}-{digest}.sock"


def _secret(home: Path, name: str) -> str:
    """A secret of this installation, created on first use. Of processes that create it at once, all get the same one."""
    path = home / "secrets" / name
    if path.is_file() and not path.stat().st_size:  # an earlier version was ended while it wrote
        path.unlink(missing_ok=True)
    if not path.is_file():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{name}-")  # only this user can read it
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(48))
            stream.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(made, path)
        Path(made).unlink()
    return path.read_text()


def _end_orphans(home: Path) -> list[int]:
    """End processes of this installation that have no supervisor any more."""
    found = processes(home)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(found, timeout=8)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return [process.pid for process in found]


@contextlib.contextmanager
def only_one(path: Path, message: str) -> Iterator[None]:
    """Hold a lock file while the body runs.

    Raises
    ------
    ConfigurationError : another process holds it; with `message`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(message) from error
        yield
