"""Schemathesis sends valid and invalid requests to every documented operation: no 5xx, and no undocumented response."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from serving.app import create_app
from tasks import columns as c
from tasks.io.api_keys import ApiKeys, Scope
from tasks.io.storage import frame_writer
from tasks.models import SERVED
from tests.serving import two_segment_shop
from tests.serving.conftest import client_of, poll_ledger
from tests.serving.installation import Installation


@pytest.fixture
def schema_with_key(cached: Installation) -> tuple[schemathesis.schemas.BaseSchema, dict[str, str]]:
    """The schema of an endpoint that serves the two-segment shop, and the headers with an admin key."""
    with_keys = cached.settings.model_copy(update={"endpoint_keys": "required"})
    tables = {name: frame_writer(frame) for name, frame in two_segment_shop.tables().items()}
    cached.storage.publish(use_case="market", layer=c.FEATURES, partition="2026-01-01", tables=tables)
    cached.register_and_promote("market", two_segment_shop.model())
    key, _ = ApiKeys(with_keys.ledger_url).create("a test", frozenset({Scope.ADMIN}), datetime(2026, 1, 1, tzinfo=UTC))
    app = create_app(with_keys, SERVED)
    poll_ledger(client_of(app))
    headers = {"Authorization": f"Bearer {key}"}
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers), headers


def test_responses_match_the_openapi_document(
    schema_with_key: tuple[schemathesis.schemas.BaseSchema, dict[str, str]],
) -> None:
    document, headers = schema_with_key
    operations = [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == 14
    statuses = {f"{operation.method.upper()} {operation.path}": call(operation, headers) for operation in operations}
    succeeded = {operation for operation, seen in statuses.items() if 200 in seen}
    failed = {operation for operation, seen in statuses.items() if seen & {400, 404, 409, 422}}
    assert {"GET /readyz", "GET /v1/{use_case}/model", "GET /v1/{use_case}/recommendations/{user_id}"} <= succeeded, statuses
    assert any(operation.startswith("POST") for operation in succeeded), statuses
    assert {operation for operation in statuses if operation.startswith("POST")} <= failed, statuses


def call(operation: schemathesis.schemas.APIOperation, headers: dict[str, str]) -> set[int]:  # type: ignore[type-arg]
    """Send a few valid and invalid requests to one operation. Returns the statuses."""
    seen = set()
    expected = [checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance]
    if "training-runs" not in operation.path:  # 503 is correct there, because no Airflow runs
        expected.append(schemathesis.checks.not_a_server_error)

    @given(case=st.one_of(operation.as_strategy(GenerationMode.POSITIVE), operation.as_strategy(GenerationMode.NEGATIVE)))
    @settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def each(case: schemathesis.Case[Any]) -> None:
        if "use_case" in (case.path_parameters or {}):
            case.path_parameters["use_case"] = "market"
        seen.add(case.call_and_validate(checks=expected, headers=headers).status_code)

    each()
    return seen
