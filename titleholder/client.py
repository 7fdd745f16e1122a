"""A Python client of the endpoint. Needs httpx only.

with Endpoint("http://127.0.0.1:8000", key="th_...") as endpoint:
    answer = endpoint.recommend("purchase_propensity", "17850", k=5)
    endpoint.send_outcomes("purchase_propensity", [{"prediction_id": answer["prediction_id"], ...}])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

Document = dict[str, Any]


class EndpointError(Exception):
    """The endpoint answered with an error. `status` and `problem`, the problem document, give the reason."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status, self.problem = status, dict(problem)


class Endpoint:
    """One method for each route. Every method returns the JSON of the response.

    Parameters
    ----------
    url : URL of the endpoint.
    key : API key, sent as a bearer token; empty if keys are off.
    timeout : seconds to wait for a response.
    transport : replaces the network in tests.

    Raises
    ------
    EndpointError : a response that is not 2xx.
    httpx.HTTPError : no response.
    """

    def __init__(self, url: str, key: str = "", *, timeout: float = 10.0, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def use_cases(self) -> list[Document]:
        """Every use case that has a champion."""
        return list(self._request("GET", "/v1/use-cases")["use_cases"])

    def model(self, use_case: str) -> Document:
        """The model in service, and the ledger entry that promoted it."""
        return self._request("GET", f"/v1/{use_case}/model")

    def recommend(self, use_case: str, user_id: str, k: int | None = None, segment: str | None = None) -> Document:
        """The top k items for one user."""
        return self._request(
            "GET", f"/v1/{use_case}/recommendations/{quote(user_id, safe='')}", query={"k": k, "segment": segment}
        )

    def recommend_to_many(
        self, use_case: str, users: Iterable[str], k: int | None = None, segment: str | None = None
    ) -> Document:
        """The top k items for each of up to 1000 users."""
        return self._request("POST", f"/v1/{use_case}/recommendations", {"users": list(users), "k": k, "segment": segment})

    def recommend_to_session(
        self, use_case: str, items: Iterable[str], k: int | None = None, segment: str | None = None
    ) -> Document:
        """The top k items for a session without a user id, from up to 50 recent items, the last one last."""
        body = {"items": list(items), "k": k, "segment": segment}
        return self._request("POST", f"/v1/{use_case}/session-recommendations", body)

    def find_similar(self, use_case: str, item_id: str, k: int | None = None) -> Document:
        """The items that have the most customers in common with one item."""
        return self._request("GET", f"/v1/{use_case}/similar-items/{quote(item_id, safe='')}", query={"k": k})

    def classify(
        self, use_case: str, rows: Iterable[Mapping[str, float | str | None]], row_ids: Iterable[str] | None = None
    ) -> list[Document]:
        """A probability for each row."""
        body = {"rows": [dict(row) for row in rows], "row_ids": list(row_ids) if row_ids is not None else None}
        return list(self._request("POST", f"/v1/{use_case}/predictions", body)["predictions"])

    def rate(self, use_case: str, pairs: Iterable[tuple[str, str]]) -> list[Document]:
        """The rating that each user would give the item."""
        body = {"pairs": [{"user_id": user, "item_id": item} for user, item in pairs]}
        return list(self._request("POST", f"/v1/{use_case}/predictions", body)["predictions"])

    def send_events(self, use_case: str, events: Iterable[Mapping[str, Any]]) -> Document:
        """Send views, purchases and ratings. Sending the same ids again changes nothing."""
        return self._request("POST", f"/v1/{use_case}/events", {"events": [dict(event) for event in events]})

    def send_outcomes(self, use_case: str, outcomes: Iterable[Mapping[str, Any]]) -> Document:
        """Send outcomes of predictions."""
        return self._request("POST", f"/v1/{use_case}/outcomes", {"outcomes": [dict(outcome) for outcome in outcomes]})

    def start_training(self, use_case: str, as_of: str | None = None, candidates: Iterable[str] | None = None) -> Document:
        """Start a training run. Its `run_id` is the argument of `follow_training`."""
        body = {"as_of": as_of, "candidates": list(candidates) if candidates is not None else None}
        return self._request("POST", f"/v1/{use_case}/training-runs", body)

    def follow_training(self, use_case: str, run_id: str) -> Document:
        """The state of a training run, and its verdict."""
        return self._request("GET", f"/v1/{use_case}/training-runs/{quote(run_id, safe='')}")

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> Document:
        document = {name: value for name, value in (body or {}).items() if value is not None}
        params = {name: value for name, value in (query or {}).items() if value is not None}
        response = self._client.request(method, path, json=document if body is not None else None, params=params)
        try:
            answer = response.json()
        except ValueError:
            answer = {"detail": response.text[:300]}
        if response.is_error or not isinstance(answer, dict):
            raise EndpointError(response.status_code, answer if isinstance(answer, dict) else {})
        return answer
