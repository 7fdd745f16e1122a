"""Adapter: the running Airflow, through its public REST API."""

from __future__ import annotations

from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from tasks import clock
from tasks.errors import ServiceUnavailable
from tasks.settings import Settings

FINAL = {"success", "failed"}
DONE = FINAL | {"skipped", "upstream_failed"}  # of a task


class AirflowRefused(ServiceUnavailable):
    """Airflow answered with an error; `status` is its HTTP status, `detail` its reason."""

    def __init__(self, request: str, status: int, detail: str) -> None:
        super().__init__(f"Airflow refused {request}: {status} {detail}")
        self.status, self.detail = status, detail


class AirflowApi:
    """A client of Airflow's REST API. It signs in on first use, and again when its token has expired.

    The answers are Airflow's own JSON. Close it, or use it as a context manager.

    Raises
    ------
    AirflowRefused : Airflow answers with an error.
    ServiceUnavailable : Airflow does not answer.
    """

    def __init__(self, settings: Settings, *, timeout: float = 30.0) -> None:
        self.url = settings.airflow_url
        self._client = httpx.Client(base_url=self.url, timeout=timeout)
        self._settings = settings

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The answer to a GET of a path under /api/v2."""
        return self.request("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a POST of JSON to a path under /api/v2."""
        return self.request("POST", path, json=body)

    # DAGs and runs

    def dag_ids(self) -> set[str]:
        """All DAGs that Airflow has parsed."""
        return {one["dag_id"] for one in self.get("/dags", limit=500)["dags"]}

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> dict[str, Any]:
        """Start a run by hand, and return it: `dag_run_id` and `state` among others."""
        return self.post(f"/dags/{dag_id}/dagRuns", {"logical_date": clock.now().isoformat(), "conf": conf or {}})

    def trigger_once(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
        """Start a run under a given id. Returns False if a run of this id exists."""
        try:
            self.post(f"/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})
        except AirflowRefused as error:
            if error.status == httpx.codes.CONFLICT:
                return False
            raise
        return True

    def newest_runs(self) -> list[dict[str, Any]]:
        """The newest 100 runs of all DAGs, newest first."""
        return list(self.get("/dags/~/dagRuns", limit=100, order_by="-run_after")["dag_runs"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The first 100 runs of a DAG, oldest first."""
        return list(self.get(f"/dags/{dag_id}/dagRuns", limit=100, order_by="run_after")["dag_runs"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run of a DAG."""
        return self.get(_run(dag_id, run_id))

    def is_over(self, dag_id: str, run_id: str) -> bool:
        """Whether a run has ended. False if Airflow does not answer or does not know the run, which proves nothing."""
        try:
            return self.run(dag_id, run_id)["state"] in FINAL
        except ServiceUnavailable:
            return False

    def run_page(self, dag_id: str, run_id: str) -> str:
        """The address of a run in Airflow's pages."""
        return f"{self.url}/dags/{dag_id}/runs/{run_id}"

    # tasks

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run, at most 100."""
        return list(self.get(f"{_run(dag_id, run_id)}/taskInstances", limit=100)["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """The value that a task returned."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.get(path, deserialize=False, stringify=False)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """The log of one attempt of a task, as text."""
        content = self.get(f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{attempt}", full_content=True)["content"]
        return "\n".join(_text(line) if isinstance(line, dict) else str(line) for line in content)

    def request(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The answer to any request under /api/v2."""
        try:
            if "Authorization" not in self._client.headers:
                self._sign_in()
            response = self._client.request(method, f"/api/v2{path}", **request)
            if response.status_code == httpx.codes.UNAUTHORIZED:  # the token of a long-lived client has expired
                self._sign_in()
                response = self._client.request(method, f"/api/v2{path}", **request)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"Airflow at {self.url} does not answer ({type(error).__name__}: {error}): start it with `make up`, or check "
                "TITLEHOLDER_AIRFLOW_URL, TITLEHOLDER_AIRFLOW_USER and TITLEHOLDER_AIRFLOW_PASSWORD"
            ) from error
        if response.is_error:
            raise AirflowRefused(f"{method} {path}", response.status_code, _detail(response))
        answer: dict[str, Any] = response.json()
        return answer

    def _sign_in(self) -> None:
        user, password = self._settings.airflow_user, self._settings.airflow_password
        if user:
            response = self._client.post("/auth/token", json={"username": user, "password": password})
        else:
            response = self._client.get("/auth/token")  # Airflow without users, on loopback only
        response.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _detail(response: httpx.Response) -> str:
    """Airflow's reason, or the start of whatever answered in its place."""
    try:
        return str(response.json()["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return response.text[:500]


def _text(line: dict[str, Any]) -> str:
    """One structured log line as text: its event, and the errors that belong to it."""
    errors = [f"{one['exc_type']}: {one['exc_value']}" for one in line.get("error_detail") or []]
    return "\n".join([str(line.get("event", "")), *errors])
