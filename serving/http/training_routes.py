"""Training runs: started and followed through Airflow's API, so that there is one place where training happens."""

from __future__ import annotations

from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from serving.http.problems import Refusal
from serving.http.schemas import Problem
from tasks.settings import Settings

SECONDS = 10.0

_PROBLEM = {"model": Problem, "content": {"application/problem+json": {}}}
training = APIRouter(prefix="/v1", tags=["training"], responses=dict.fromkeys((404, 422, 502, 503), _PROBLEM))
UseCaseName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
RunId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.+:~-]{1,250}$")]


class TrainingRequest(BaseModel):
    """What to train on; everything may be left out."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"as_of": "2011-06-01"}]})

    as_of: date | None = Field(None, description="train on what was known before this day; default: the newest validated day")
    candidates: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]] | None = Field(
        None, min_length=1, max_length=50, description="which candidates of the use case; default: all"
    )


class TrainingStarted(BaseModel):
    use_case: str
    run_id: str
    state: str
    address: str = Field(description="where to follow it")


class GateSaid(BaseModel):
    gate: str
    passed: bool
    reason: str


class TrainingVerdict(BaseModel):
    """What the gates said of the chosen candidate."""

    candidate: str
    passed: bool
    outcome: str | None
    gates: list[GateSaid]


class TrainingRun(BaseModel):
    """One run as Airflow tells it."""

    use_case: str
    run_id: str
    state: str = Field(description="queued, running, success, or failed")
    started_at: datetime | None
    ended_at: datetime | None
    tasks: dict[str, str] = Field(description="task -> state, as far as they have one")
    verdict: TrainingVerdict | None = Field(description="None before the gates have judged")
    version: int | None = Field(description="the version that was registered")


@training.post("/{use_case}/training-runs", response_model=TrainingStarted, status_code=HTTPStatus.ACCEPTED)
async def start_training(request: Request, use_case: UseCaseName, body: TrainingRequest) -> TrainingStarted:
    """Start a training in Airflow. Its outcome is a verdict; a title changes hands only by promotion."""
    conf = body.model_dump(mode="json", exclude_none=True)
    async with _Airflow(request.app.state.settings) as airflow:
        made = await airflow.ask(
            "POST", f"/dags/{use_case}.training/dagRuns", {"logical_date": datetime.now(UTC).isoformat(), "conf": conf}
        )
    run_id = str(made["dag_run_id"])
    return TrainingStarted(
        use_case=use_case, run_id=run_id, state=made["state"], address=f"/v1/{use_case}/training-runs/{run_id}"
    )


@training.get("/{use_case}/training-runs/{run_id}", response_model=TrainingRun)
async def follow_training(request: Request, use_case: UseCaseName, run_id: RunId) -> TrainingRun:
    """How far a training is, and what the gates said."""
    path = f"/dags/{use_case}.training/dagRuns/{run_id}"
    async with _Airflow(request.app.state.settings) as airflow:
        run = await airflow.ask("GET", path)
        tasks = (await airflow.ask("GET", f"{path}/taskInstances?limit=100"))["task_instances"]
        done = {task["task_id"] for task in tasks if task["state"] == "success"}
        verdict = await airflow.handed_on(path, "judge") if "judge" in done else None
        version = await airflow.handed_on(path, "register") if "register" in done else None
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
    gates = [GateSaid(gate=one["gate"], passed=one["passed"], reason=one["reason"]) for one in verdict["gates"]]
    return TrainingVerdict(
        candidate=verdict["candidate"]["name"], passed=verdict["passed"], outcome=verdict["outcome"], gates=gates
    )


class _Airflow:
    """Airflow's REST API, signed in anew for each request of ours: they are rare.

    Raises
    ------
    Refusal : 404 and 422 as Airflow said, 503 where it does not answer, 502 for anything else.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(base_url=settings.airflow_url, timeout=SECONDS)

    async def __aenter__(self) -> _Airflow:
        user = self._settings.airflow_user
        try:
            if user:
                response = await self._client.post(
                    "/auth/token", json={"username": user, "password": self._settings.airflow_password}
                )
            else:
                response = await self._client.get("/auth/token")  # Airflow lets everybody in: on loopback only
            response.raise_for_status()
        except httpx.HTTPError as error:
            await self._client.aclose()
            raise _away(error) from error
        self._client.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = await self._client.request(method, f"/api/v2{path}", json=body)
        except httpx.HTTPError as error:
            raise _away(error) from error
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise Refusal(HTTPStatus.NOT_FOUND, "Airflow knows no such use case or run")
        if response.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"Airflow refused it: {_detail(response)}")
        if response.is_error:
            raise Refusal(HTTPStatus.BAD_GATEWAY, f"Airflow answered {response.status_code}: {_detail(response)}")
        answer: dict[str, Any] = response.json()
        return answer

    async def handed_on(self, path: str, task: str) -> dict[str, Any]:
        """What a task returned."""
        entry = f"{path}/taskInstances/{task}/xcomEntries/return_value?deserialize=false&stringify=false"
        value: dict[str, Any] = (await self.ask("GET", entry))["value"]
        return value


def _away(error: httpx.HTTPError) -> Refusal:
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"Airflow does not answer ({type(error).__name__}): try again later",
        (),
        {"Retry-After": "10"},
    )


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.text[:300]
