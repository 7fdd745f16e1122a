"""Airflow's API with what only the end-to-end tests need: waiting for runs, and answering requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasks.io.airflow import FINAL, AirflowApi
from tasks.io.polling import NotYet, wait_until


class AirflowClient(AirflowApi):
    """The adapter, with methods that wait for runs."""

    def start(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a manual run, and return its id."""
        return str(self.trigger(dag_id, conf)["dag_run_id"])

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a PATCH."""
        return self.request("PATCH", path, json=body)

    def await_run(self, dag_id: str, run_id: str, timeout: float = 600) -> str:
        """Wait until a run ends, and return its state."""
        return str(self._await(lambda: self.run(dag_id, run_id), f"{dag_id} {run_id} to end", timeout)["state"])

    def await_new_run(self, dag_id: str, known: set[str], timeout: float = 600) -> dict[str, Any]:
        """Wait until a run that is not `known` exists and has ended."""

        def first_new() -> dict[str, Any]:
            fresh = [run for run in self.runs(dag_id) if run["dag_run_id"] not in known]
            return fresh[0] if fresh else {"state": "absent"}

        return self._await(first_new, f"a new run of {dag_id} to end", timeout)

    def _await(self, find: Callable[[], dict[str, Any]], what: str, timeout: float) -> dict[str, Any]:
        def probe() -> dict[str, Any]:
            run = find()
            if run["state"] not in FINAL:
                raise NotYet(run["state"])
            return run

        return wait_until(probe, seconds=timeout, pause=0.5, what=what, remedy=f"See {self.url}.")
