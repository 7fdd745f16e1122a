"""The OpenAPI document: FastAPI's own, extended by the frequent routes from the types that validate and encode them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI

from serving.http import messages
from serving.http.fast_routes import Route

_REFERENCE = "#/components/schemas/{name}"
_PROBLEMS = {
    "400": "the body is incomplete or cannot be read",
    "401": "the API key is missing or unknown",
    "403": "the API key has another scope",
    "404": "unknown use case or item",
    "405": "method not allowed",
    "409": "use case of another kind, which has another route",
    "413": "the body is too large",
    "415": "the body is not JSON",
    "422": "the request does not have the form that this route expects",
    "429": "too many requests",
    "503": "no model is loaded yet, or the endpoint is overloaded: retry after Retry-After seconds",
}
_EXAMPLES: dict[Any, Any] = {
    messages.RecommendationsRequest: {"users": ["17850", "13047"], "k": 10},
    messages.SessionRequest: {"items": ["85123A", "71053"], "k": 10},
    messages.PredictionsRequest: {"rows": [{"mean radius": 14.1, "mean texture": 19.3}], "row_ids": ["patient-7"]},
    messages.EventsRequest: {
        "events": [
            {
                "event_id": "basket-1:85123A",
                "user_id": "17850",
                "item_id": "85123A",
                "event_type": "purchase",
                "event_at": "2026-11-21T12:00:00Z",
                "value": 15.3,
                "quantity": 6,
            }
        ]
    },
    messages.OutcomesRequest: {
        "outcomes": [
            {
                "prediction_id": "5f0c2d6e6f0f4f0e9a530d6fbb4f7a10",
                "item_id": "85123A",
                "label": 1,
                "happened_at": "2026-11-22T09:30:00Z",
            }
        ]
    },
}
_QUERY = {
    "k": {
        "name": "k",
        "in": "query",
        "description": "number of items; default: the k of the use case",
        "schema": {"type": "integer", "minimum": 1, "maximum": messages.MAX_ITEMS},
    },
    "segment": {
        "name": "segment",
        "in": "query",
        "description": "segment of an unknown user, such as a country",
        "schema": {"type": "string", "minLength": 1, "maxLength": 100},
    },
}


def describe(app: FastAPI, routes: Sequence[Route]) -> None:
    """Add the frequent routes to `app.openapi()`."""
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = of_fastapi()
        types = list(dict.fromkeys(kind for route in routes for kind in (*route.responses, route.body) if kind is not None))
        schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        known = dict(zip(types, schemas, strict=True))
        document["components"]["schemas"].update(components)
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "th_..."}}
        for route in routes:
            document["paths"].setdefault(route.template, {})[route.method.lower()] = _operation(route, known)
        for path, operations in document["paths"].items():
            if path.startswith("/v1/"):
                for operation in operations.values():
                    _add_problems(operation)
        app.openapi_schema = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _operation(route: Route, known: dict[Any, Any]) -> dict[str, Any]:
    parameters = [part[1:-1] for part in route.template.split("/") if part.startswith("{")]
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    responses = [known[kind] for kind in route.responses]
    operation: dict[str, Any] = {
        "tags": ["answers" if route.scope == "predict" else "events"],
        "summary": route.description.split(".", maxsplit=1)[0],
        "description": f"{route.description} Scope of the key: {route.scope.value}.",
        "operationId": route.handle.__name__.strip("_"),
        "parameters": [{"name": name, "in": "path", "required": True, "schema": text} for name in parameters]
        + [_QUERY[name] for name in route.query],
        "responses": {
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": responses[0] if len(responses) == 1 else {"anyOf": responses}}},
            }
        },
    }
    if route.body is not None:
        content = {"schema": known[route.body], "example": _EXAMPLES[route.body]}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _add_problems(operation: dict[str, Any]) -> None:
    """Add the errors that the gateway and the handlers may answer on every route under /v1."""
    content = {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(name="Problem")}}}
    operation["security"] = [{"key": []}]
    for status, description in _PROBLEMS.items():
        operation["responses"][status] = {"description": description, "content": content}
