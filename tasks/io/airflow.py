"""The running Airflow, through its public REST API."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from tasks.errors import ServiceUnavailable
from tasks.settings import Settings

FINAL = {"success", "failed"}


class AlreadyThere(ServiceUnavailable):
    """Airflow has a run of this name."""


class AirflowApi:
    """A client that signs in once. All answers are Airflow's own JSON.

    Raises
    ------
    ServiceUnavailable : Airflow does not answer, or refuses; with its address and words.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.airflow_url
        self._client = httpx.Client(base_url=self.url, timeout=30)
        self._settings = settings
        self._token = ""

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return self._call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._call("PATCH", path, json=body)

    def dag_ids(self) -> set[str]:
        """All DAGs that Airflow has parsed and kept."""
        return {one["dag_id"] for one in self.get("/dags", limit=500)["dags"]}

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run by hand; its run id comes back."""
        body = {"logical_date": datetime.now(UTC).isoformat(), "conf": conf or {}}
        return str(self.post(f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def trigger_once(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
        """Start a run of a name, unless there is one already: then False."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        try:
            self.post(f"/dags/{dag_id}/dagRuns", body)
        except AlreadyThere:
            return False
        return True

    def newest_runs(self) -> list[dict[str, Any]]:
        """The newest runs of all DAGs, newest first."""
        return list(self.get("/dags/~/dagRuns", limit=100, order_by="-run_after")["dag_runs"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """All runs of a DAG, oldest first."""
        return list(self.get(f"/dags/{dag_id}/dagRuns", limit=100, order_by="run_after")["dag_runs"])

    def is_over(self, dag_id: str, run_id: str) -> bool:
        """Whether a run has ended; False where Airflow does not answer or does not know it, which proves nothing."""
        try:
            return self.get(f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")["state"] in FINAL
        except ServiceUnavailable:
            return False

    def await_run(self, dag_id: str, run_id: str, timeout: float = 600) -> str:
        """Wait until a run ends; its state comes back."""
        return str(self._await(lambda: self.get(f"/dags/{dag_id}/dagRuns/{run_id}"), f"{dag_id} {run_id}", timeout)["state"])

    def await_new_run(self, dag_id: str, known: set[str], timeout: float = 600) -> dict[str, Any]:
        """Wait until a run that is not `known` exists and has ended."""

        def newest() -> dict[str, Any]:
            fresh = [run for run in self.runs(dag_id) if run["dag_run_id"] not in known]
            return fresh[0] if fresh else {"state": "absent"}

        return self._await(newest, f"a new run of {dag_id}", timeout)

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run."""
        return list(self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task handed on."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.get(path, deserialize=False, stringify=False)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """The log of one try of a task, as text."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        content = self.get(path, full_content=True)["content"]
        return "\n".join(_text(line) if isinstance(line, dict) else str(line) for line in content)

    def run_page(self, dag_id: str, run_id: str) -> str:
        """The address of a run in the UI."""
        return f"{self.url}/dags/{dag_id}/runs/{run_id}"

    def _await(self, look: Any, what: str, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        seen: dict[str, Any] = {}
        while time.monotonic() < deadline:
            seen = look()
            if seen["state"] in FINAL:
                return seen
            time.sleep(0.5)
        raise ServiceUnavailable(f"{what} did not end within {timeout:.0f} s (last state: {seen.get('state')}); see {self.url}")

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            if not self._token:
                self._sign_in()
            headers = {"Authorization": f"Bearer {self._token}"}
            response = self._client.request(method, f"/api/v2{path}", headers=headers, **request)
        except httpx.HTTPError as error:
            raise ServiceUnavailable(f"Airflow at {self.url} does not answer: start it with `make up`. ({error})") from error
        if response.status_code == httpx.codes.CONFLICT:
            raise AlreadyThere(f"Airflow refused {method} {path}: {response.text[:500]}")
        if response.is_error:
            raise ServiceUnavailable(f"Airflow refused {method} {path}: {response.status_code} {response.text[:500]}")
        answer: dict[str, Any] = response.json()
        return answer

    def _sign_in(self) -> None:
        user, password = self._settings.airflow_user, self._settings.airflow_password
        if user:
            response = self._client.post("/auth/token", json={"username": user, "password": password})
        else:
            response = self._client.get("/auth/token")  # Airflow lets everybody in: on loopback only
        response.raise_for_status()
        self._token = response.json()["access_token"]


def _text(line: dict[str, Any]) -> str:
    """One structured log line as a person reads it: its event, and the error behind it."""
    errors = [f"{one['exc_type']}: {one['exc_value']}" for one in line.get("error_detail") or []]
    return "\n".join([str(line.get("event", "")), *errors])
