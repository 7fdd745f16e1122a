"""Adapter: MLflow. Runs, exported models, the registry and its aliases. No other module imports mlflow.

A run carries a key (what was trained, on which data, by which code). A task that is tried again finds its finished run
instead of writing a second one, and marks runs that a killed attempt left behind.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import clock
from tasks.errors import ModelError, ServiceUnavailable
from tasks.settings import get_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run

_log = logging.getLogger(__name__)
PREVIOUS_CHAMPION = "previous_champion"  # an alias beside those of `Role`
KEY = "titleholder.key"
LEARNING_CURVE = "learning_curve.json"  # artifact of a candidate's run
PROCESS = "titleholder.process"  # host, pid and start of the process that writes a run
NATIVE = "native"  # artifact folder of the exported model, inside the logged model


def get_client() -> MlflowClient:
    """A client of the configured server with short timeouts: by default MLflow waits four minutes for a dead server."""
    settings = get_settings()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(settings.mlflow_timeout_seconds))
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    mlflow.set_tracking_uri(settings.mlflow_tracking_uri)
    return mlflow.MlflowClient(tracking_uri=settings.mlflow_tracking_uri)


@contextmanager
def raise_if_unreachable() -> Iterator[None]:
    """Turn MLflow's connection errors into one ServiceUnavailable that names the remedy."""
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (requests.RequestException, MlflowException) as error:
        text = str(error)
        if isinstance(error, MlflowException) and "Max retries exceeded" not in text and "timed out" not in text:
            raise
        uri = get_settings().mlflow_tracking_uri
        raise ServiceUnavailable(
            f"MLflow at {uri} does not answer: start it with `make up`, or set TITLEHOLDER_MLFLOW_TRACKING_URI. {text[:200]}"
        ) from error


@contextmanager
def _raise_if_gone(what: str) -> Iterator[None]:
    """Turn MLflow's answer that something does not exist (any more) into a ModelError; use it inside `raise_if_unreachable`.

    An artifact that a server no longer has comes as a status of 404, within the text of another error.
    """
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (requests.HTTPError, MlflowException) as error:
        code = getattr(error, "error_code", None)
        if code not in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND") and "404 Client Error" not in str(error):
            raise
        raise ModelError(f"MLflow has no {what} (any more); was it deleted or pruned? {str(error)[:200]}") from error


class TrackedRun:
    """One MLflow run that is open for writing."""

    def __init__(self, client: MlflowClient, run_id: str, experiment_id: str) -> None:
        self.client, self.run_id, self.experiment_id = client, run_id, experiment_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters as text, each cut to 6000 characters."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)[:6000]) for key, value in params.items()]
        self.client.log_batch(self.run_id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log metrics at a step."""

        from mlflow.entities import Metric

        now = clock.now_ms()
        self.client.log_batch(self.run_id, metrics=[Metric(k, float(v), now, step) for k, v in metrics.items()])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_figure(self, figure: Figure, artifact_file: str) -> None:
        """Log a figure as an artifact."""
        self.client.log_figure(self.run_id, figure, artifact_file)

    def log_dict(self, document: Mapping[str, Any], artifact_file: str) -> None:
        """Log a document as a JSON artifact."""
        self.client.log_dict(self.run_id, dict(document), artifact_file)

    def log_text(self, text: str, artifact_file: str) -> None:
        """Log a text as an artifact."""
        self.client.log_text(self.run_id, text, artifact_file)

    def log_artifact(self, path: Path, artifact_path: str | None = None) -> None:
        """Log a file as an artifact, in a folder of the run."""
        self.client.log_artifact(self.run_id, str(path), artifact_path)

    def log_model(self, native: Path, wrapper: Path, inputs: Any, outputs: Any, params: Mapping[str, Any]) -> str:
        """Log an exported model with its signature, and return its `models:/m-...` address.

        The wrapper is a script (MLflow's "models from code"), so no pickle is written or read. MLflow keeps the name of
        the exported folder, and `download_native` reads it by this name: it must be `native`.

        Raises
        ------
        ModelError : the folder has another name, or MLflow stored no signature.
        """
        if native.name != NATIVE:
            raise ModelError(f"{native}: expected the folder of an exported model to be named '{NATIVE}'")
        import mlflow
        from mlflow.models import infer_signature

        signature = infer_signature(inputs, outputs)
        with mlflow.start_run(run_id=self.run_id):  # the fluent API is the only one that logs a pyfunc model
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(wrapper),
                artifacts={NATIVE: str(native)},
                signature=signature,
                params=dict(params),
                pip_requirements=["numpy", "pandas"],  # stated, because inferring them loads the model again for 25 s
            )
        if mlflow.models.get_model_info(info.model_uri).signature is None:
            raise ModelError(f"run {self.run_id}: MLflow stored the model without its signature")
        return str(info.model_uri)


def get_experiment(client: MlflowClient, name: str) -> str:
    """The id of the experiment of a use case. Creates it if missing, also when two tasks do so at once.

    Raises
    ------
    ModelError : it was deleted. MLflow would refuse each run in it.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise ModelError(f"MLflow's experiment of {name} was deleted: restore it with `titleholder reconcile {name}`")
    return str(found.experiment_id)


def experiment_is_deleted(use_case: str) -> bool:
    """Whether the experiment of a use case was deleted. False where there is none yet."""
    with raise_if_unreachable():
        found = get_client().get_experiment_by_name(use_case)
    return found is not None and found.lifecycle_stage == "deleted"


def restore_experiment(use_case: str) -> None:
    """Restore the deleted experiment of a use case, with its runs."""
    with raise_if_unreachable():
        client = get_client()
        found = client.get_experiment_by_name(use_case)
        if found is not None:
            client.restore_experiment(found.experiment_id)


def deleted_runs_of_versions(use_case: str) -> dict[str, int]:
    """Run -> the registered version that it logged, of the runs that were deleted and that MLflow still has."""
    from mlflow.exceptions import MlflowException

    deleted = {}
    with raise_if_unreachable():
        client = get_client()
        versions = [one for one in client.search_model_versions(f"name='{use_case}'") if one.run_id]
        for version in versions:
            try:
                run = client.get_run(version.run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                if run.info.lifecycle_stage == "deleted":
                    deleted[run.info.run_id] = int(version.version)
    return deleted


def restore_run(run_id: str) -> None:
    """Restore a deleted run."""
    with raise_if_unreachable():
        get_client().restore_run(run_id)


def find_finished_run(use_case: str, key: str) -> Run | None:
    """The finished run with a key, or None. Marks runs with this key that a killed attempt left RUNNING as KILLED."""
    with raise_if_unreachable():
        client = get_client()
        experiment = get_experiment(client, use_case)
        runs = client.search_runs([experiment], filter_string=f"tags.`{KEY}` = '{key}'", order_by=["start_time ASC"])
        for run in runs:
            if run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, status="KILLED", end_time=clock.now_ms())
        return next((run for run in runs if run.info.status == "FINISHED"), None)


@dataclass(frozen=True)
class OpenRun:
    """A run that MLflow shows as RUNNING."""

    run_id: str
    name: str
    started: datetime
    tags: Mapping[str, str]

    @property
    def writer_is_gone(self) -> bool:
        """Whether the process that wrote it ran on this host and has ended. False for other hosts, where it is unknown."""
        host, pid, start = (*self.tags.get(PROCESS, "").split(), "", "", "")[:3]
        return host == socket.gethostname() and start != _process_start(pid)


def open_runs(use_case: str) -> list[OpenRun]:
    """All runs of a use case that MLflow shows as RUNNING, oldest first. None where its experiment was deleted."""
    if experiment_is_deleted(use_case):
        return []
    with raise_if_unreachable():
        client = get_client()
        found = client.search_runs(
            [get_experiment(client, use_case)], filter_string="attributes.status = 'RUNNING'", order_by=["start_time ASC"]
        )
    return [
        OpenRun(
            run.info.run_id, run.info.run_name, datetime.fromtimestamp(run.info.start_time / 1000, UTC), dict(run.data.tags)
        )
        for run in found
    ]


def close_run(run_id: str, reason: str) -> None:
    """Mark a run without a writer as KILLED, with the reason as a tag."""
    with raise_if_unreachable():
        client = get_client()
        client.set_tag(run_id, "titleholder.closed", reason[:5000])
        client.set_terminated(run_id, status="KILLED", end_time=clock.now_ms())


def _process_start(pid: str) -> str:
    """The start of a process of this host, in ticks since boot; empty if there is none with this id, or it is a zombie."""
    try:
        fields = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


@contextmanager
def start_run(use_case: str, name: str, key: str, tags: Mapping[str, str]) -> Iterator[TrackedRun]:
    """Write one run. It ends as FINISHED, or as FAILED if the body raises."""
    with raise_if_unreachable():
        client = get_client()
        experiment = get_experiment(client, use_case)
        process = f"{socket.gethostname()} {os.getpid()} {_process_start(str(os.getpid()))}"
        ours = {KEY: key, "titleholder.use_case": use_case, PROCESS: process}
        run = client.create_run(experiment, run_name=name, tags={**tags, **ours}, start_time=clock.now_ms())
    tracked = TrackedRun(client, run.info.run_id, experiment)
    try:
        with raise_if_unreachable():
            yield tracked
    except BaseException:
        client.set_terminated(tracked.run_id, status="FAILED", end_time=clock.now_ms())
        raise
    client.set_terminated(tracked.run_id, status="FINISHED", end_time=clock.now_ms())
    _log.info("MLflow run '%s': %s", name, _run_page(experiment, tracked.run_id))


@contextmanager
def reopen_run(run_id: str) -> Iterator[TrackedRun]:
    """Write to a run that has ended. Its state stays."""
    with raise_if_unreachable():
        client = get_client()
        yield TrackedRun(client, run_id, client.get_run(run_id).info.experiment_id)


def has_artifact(run_id: str, artifact_file: str) -> bool:
    """Whether a run holds an artifact, by its path."""
    folder, _, _ = artifact_file.rpartition("/")
    with raise_if_unreachable():
        return artifact_file in [found.path for found in get_client().list_artifacts(run_id, folder or None)]


def read_run_text(run_id: str, artifact_file: str) -> str:
    """A text artifact of a run.

    Raises
    ------
    ModelError : there is no such run or artifact.
    """
    import tempfile

    gone = _raise_if_gone(f"artifact {artifact_file} of run {run_id}")
    with raise_if_unreachable(), gone, tempfile.TemporaryDirectory() as folder:
        return Path(get_client().download_artifacts(run_id, artifact_file, folder)).read_text()


def read_run_dict(run_id: str, artifact_file: str) -> dict[str, Any]:
    """A JSON artifact of a run."""
    import json

    loaded: dict[str, Any] = json.loads(read_run_text(run_id, artifact_file))
    return loaded


def run_record(run_id: str) -> tuple[dict[str, str], float | None]:
    """The parameters of a run, and its duration in seconds, None if it has not ended."""
    with raise_if_unreachable():
        run = get_client().get_run(run_id)
    ended = run.info.end_time
    return dict(run.data.params), None if ended is None else (ended - run.info.start_time) / 1000.0


def native_bytes(model_uri: str) -> int:
    """The size of the exported model's files."""
    with raise_if_unreachable():
        files = get_client().list_logged_model_artifacts(model_uri.removeprefix("models:/"), f"artifacts/{NATIVE}")
    return sum(file.file_size or 0 for file in files)


def run_page(run_id: str, use_case: str) -> str:
    """The address of a run in the MLflow UI."""
    with raise_if_unreachable():
        return _run_page(get_experiment(get_client(), use_case), run_id)


def _run_page(experiment_id: str, run_id: str) -> str:
    return f"{get_settings().mlflow_tracking_uri}/#/experiments/{experiment_id}/runs/{run_id}"


def artifact_page(run_id: str, use_case: str, artifact_file: str) -> str:
    """The address of a run's artifact in the MLflow UI."""
    return f"{run_page(run_id, use_case)}/artifacts/{artifact_file}"


def version_page(use_case: str, version: int) -> str:
    """The address of a model version in the MLflow UI."""
    return f"{get_settings().mlflow_tracking_uri}/#/models/{use_case}/versions/{version}"


def read_signature(model_uri: str) -> dict[str, str]:
    """Name -> type of the inputs of a logged model, in their order."""
    import mlflow

    with raise_if_unreachable():
        get_client()  # sets the address that the next call uses
        signature = mlflow.models.get_model_info(model_uri).signature
    return {} if signature is None else {str(column.name): column.type.name for column in signature.inputs.inputs}


def columns_of(frame: Any) -> dict[str, str]:
    """Name -> type of a pandas frame, a Spark frame or a list of JSON objects, as MLflow reads them into a signature."""
    import warnings

    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that integers cannot be missing
        return {str(column.name): column.type.name for column in infer_signature(frame).inputs.inputs}


def download_native(model_uri: str, folder: Path) -> Path:
    """Download the files of an exported model, without the pyfunc wrapper, into a private folder of the caller.

    Raises
    ------
    ModelError : there is no such model, or its files are gone.
    """
    import mlflow

    with raise_if_unreachable(), _raise_if_gone(f"export of {model_uri}"):
        # MLflow reads a path below models:/m-... as a name and a version, so the location comes from the model
        location = get_client().get_logged_model(model_uri.removeprefix("models:/")).artifact_location
        path = mlflow.artifacts.download_artifacts(artifact_uri=f"{location}/artifacts/{NATIVE}", dst_path=str(folder))
    return Path(path)


# the registry


def find_version(use_case: str, run_id: str, judging: str) -> int | None:
    """The first version that was registered for one judgement of one run; None if there is none."""
    with raise_if_unreachable():
        found = get_client().search_model_versions(f"name='{use_case}'")
    mine = [int(one.version) for one in found if one.run_id == run_id and one.tags.get("judging") == judging]
    return min(mine, default=None)


def register_version(use_case: str, model_uri: str, run_id: str, tags: Mapping[str, str], description: str) -> int:
    """Register a new version of a logged model, and return its number. Call `find_version` first: this never reuses one."""
    from mlflow.exceptions import MlflowException

    with raise_if_unreachable():
        client = get_client()
        try:
            client.create_registered_model(use_case)
        except MlflowException as error:
            if "already exists" not in str(error).lower():
                raise
        version = client.create_model_version(
            use_case,
            source=model_uri,
            run_id=run_id,
            tags={**tags, "model_uri": model_uri},
            description=description,
            model_id=model_uri.removeprefix("models:/"),  # a server, unlike a local store, checks that they agree
        )
        return int(version.version)


def version_tags(use_case: str, version: int) -> dict[str, str]:
    """The tags of one model version.

    Raises
    ------
    ModelError : there is no such version.
    """
    with raise_if_unreachable(), _raise_if_gone(f"version {version} of {use_case}"):
        return dict(get_client().get_model_version(use_case, str(version)).tags)


def tag_version(use_case: str, version: int, tags: Mapping[str, str]) -> None:
    """Set tags of a model version, each cut to 5000 characters."""
    with raise_if_unreachable():
        client = get_client()
        for key, value in tags.items():
            client.set_model_version_tag(use_case, str(version), key, value[:5000])


def tag_model(use_case: str, tags: Mapping[str, str]) -> None:
    """Set tags of the registered model, if there is one."""
    from mlflow.exceptions import MlflowException

    with raise_if_unreachable():
        client = get_client()
        try:
            for key, value in tags.items():
                client.set_registered_model_tag(use_case, key, value[:5000])
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise


def versions(use_case: str) -> list[int]:
    """All version numbers of a use case, ascending."""
    with raise_if_unreachable():
        return sorted(int(v.version) for v in get_client().search_model_versions(f"name='{use_case}'"))


def set_alias(use_case: str, alias: str, version: int | None) -> None:
    """Point an alias at a version; None removes it."""
    with raise_if_unreachable():
        client = get_client()
        if version is None:
            if alias in aliases(use_case):
                client.delete_registered_model_alias(use_case, alias)
        else:
            client.set_registered_model_alias(use_case, alias, str(version))


def aliases(use_case: str) -> dict[str, int]:
    """Alias -> version; empty if the model is not registered."""
    from mlflow.exceptions import MlflowException

    with raise_if_unreachable():
        try:
            found = get_client().get_registered_model(use_case).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
    return {alias: int(version) for alias, version in found.items()}
