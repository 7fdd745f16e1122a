"""Training runs, started and followed through Airflow's REST API, so that all training runs in Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from serving.http.problems import Refusal
from serving.http.schemas import Problem
from tasks.errors import ServiceUnavailable
from tasks.io.airflow import AirflowApi, AirflowRefused
from tasks.settings import Settings

SECONDS = 10.0

_PROBLEM = {"model": Problem, "content": {"application/problem+json": {}}}
training = APIRouter(prefix="/v1", tags=["training"], responses=dict.fromkeys((404, 422, 502, 503), _PROBLEM))
UseCaseName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
RunId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.+:~-]{1,250}$")]


class TrainingRequest(BaseModel):
    """Options of a training run."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"as_of": "2011-06-01"}]})

    as_of: date | None = Field(None, description="train on data from before this day; default: the newest validated day")
    candidates: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]] | None = Field(
        None, min_length=1, max_length=50, description="candidates of the use case to train; default: all"
    )


class TrainingStarted(BaseModel):
    """The run that was started."""

    use_case: str
    run_id: str
    state: str
    address: str = Field(description="path of the run in this API")


class GateResult(BaseModel):
    """The result of one gate."""

    gate: str
    passed: bool
    reason: str


class TrainingVerdict(BaseModel):
    """The verdict on the best candidate."""

    candidate: str
    passed: bool
    outcome: str | None
    gates: list[GateResult]


class TrainingRun(BaseModel):
    """A training run in Airflow."""

    use_case: str
    run_id: str
    state: str = Field(description="queued, running, success, or failed")
    started_at: datetime | None
    ended_at: datetime | None
    tasks: dict[str, str] = Field(description="task -> state; without the tasks that have none yet")
    verdict: TrainingVerdict | None = Field(description="null until the gates have judged")
    version: int | None = Field(description="the registered version; null if there is none")


@training.post("/{use_case}/training-runs", response_model=TrainingStarted, status_code=HTTPStatus.ACCEPTED)
def start_training(request: Request, use_case: UseCaseName, body: TrainingRequest) -> TrainingStarted:
    """Start a training run in Airflow. Its outcome is a verdict; only a promotion changes the champion."""
    with _airflow(request) as airflow:
        made = airflow.trigger(f"{use_case}.training", body.model_dump(mode="json", exclude_none=True))
    run_id = str(made["dag_run_id"])
    return TrainingStarted(
        use_case=use_case, run_id=run_id, state=made["state"], address=f"/v1/{use_case}/training-runs/{run_id}"
    )


@training.get("/{use_case}/training-runs/{run_id}", response_model=TrainingRun)
def follow_training(request: Request, use_case: UseCaseName, run_id: RunId) -> TrainingRun:
    """The state of a training run, and the verdict of the gates."""
    dag_id = f"{use_case}.training"
    with _airflow(request) as airflow:
        run = airflow.run(dag_id, run_id)
        tasks = airflow.tasks(dag_id, run_id)
        done = {task["task_id"] for task in tasks if task["state"] == "success"}
        verdict = airflow.xcom(dag_id, run_id, "judge") if "judge" in done else None
        version = airflow.xcom(dag_id, run_id, "register") if "register" in done else None
    return TrainingRun(
        use_case=use_case,
        run_id=run_id,
        state=run["state"],
        started_at=run["start_date"],
        ended_at=run["end_date"],
        tasks={_name(task): task["state"] for task in tasks if task["state"]},
        verdict=_verdict(verdict) if verdict else None,
        version=version["version"] if version else None,
    )


def _name(task: dict[str, Any]) -> str:
    place = task.get("map_index", -1)
    return f"{task['task_id']}[{place}]" if place >= 0 else str(task["task_id"])


def _verdict(verdict: dict[str, Any]) -> TrainingVerdict:
    gates = [GateResult(gate=one["gate"], passed=one["passed"], reason=one["reason"]) for one in verdict["gates"]]
    return TrainingVerdict(
        candidate=verdict["candidate"]["name"], passed=verdict["passed"], outcome=verdict["outcome"], gates=gates
    )


@contextmanager
def _airflow(request: Request) -> Iterator[AirflowApi]:
    """Airflow's REST API for one request of ours, with its errors as HTTP errors.

    Raises
    ------
    Refusal : 404 and 422 as Airflow answered, 503 if it does not answer, 502 for any other error.
    """
    settings: Settings = request.app.state.settings
    try:
        with AirflowApi(settings, timeout=SECONDS) as airflow:
            yield airflow
    except AirflowRefused as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise Refusal(HTTPStatus.NOT_FOUND, "Airflow has no such use case or run") from error
        if error.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"Airflow refused it: {error.detail[:300]}") from error
        raise Refusal(HTTPStatus.BAD_GATEWAY, f"Airflow answered {error.status}: {error.detail[:300]}") from error
    except ServiceUnavailable as error:
        message = f"Airflow does not answer ({type(error.__cause__).__name__}): retry later"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, headers={"Retry-After": "10"}) from error
