"""The OpenAPI document: FastAPI's for the cold addresses, and the hot ones from the very types that check and write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI

from serving.http import messages
from serving.http.fast_routes import Route

_REFERENCE = "#/components/schemas/{name}"
_PROBLEMS = {
    "400": "the body broke off, or cannot be read",
    "401": "no key, or one that is not known",
    "403": "a key of another scope",
    "404": "no such use case or item",
    "405": "another method",
    "409": "this use case answers at another address",
    "413": "too large a body",
    "415": "a body that is not JSON",
    "422": "not of the form that this address takes",
    "429": "too many requests",
    "503": "nothing is loaded yet, or too much waits; try again after Retry-After seconds",
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
        "description": "how many items; default: the k of the use case",
        "schema": {"type": "integer", "minimum": 1, "maximum": messages.MOST_ITEMS},
    },
    "segment": {
        "name": "segment",
        "in": "query",
        "description": "where somebody unknown belongs, such as a country",
        "schema": {"type": "string", "minLength": 1, "maxLength": 100},
    },
}


def describe(app: FastAPI, routes: Sequence[Route]) -> None:
    """Let `app.openapi()` describe the hot addresses too."""
    cold = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = cold()
        types = list(dict.fromkeys(kind for route in routes for kind in (*route.gives, route.body) if kind is not None))
        schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        known = dict(zip(types, schemas, strict=True))
        document["components"]["schemas"].update(components)
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "th_..."}}
        for route in routes:
            document["paths"].setdefault(route.template, {})[route.method.lower()] = _operation(route, known)
        for path, operations in document["paths"].items():
            if path.startswith("/v1/"):
                for operation in operations.values():
                    _guard(operation)
        app.openapi_schema = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _operation(route: Route, known: dict[Any, Any]) -> dict[str, Any]:
    named = [word[1:-1] for word in route.template.split("/") if word.startswith("{")]
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    gives = [known[kind] for kind in route.gives]
    operation: dict[str, Any] = {
        "tags": ["answers" if route.scope == "predict" else "events"],
        "summary": route.told.split(".", maxsplit=1)[0],
        "description": f"{route.told} Scope of the key: {route.scope.value}.",
        "operationId": route.handle.__name__.strip("_"),
        "parameters": [{"name": name, "in": "path", "required": True, "schema": text} for name in named]
        + [_QUERY[name] for name in route.query],
        "responses": {
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": gives[0] if len(gives) == 1 else {"anyOf": gives}}},
            }
        },
    }
    if route.body is not None:
        content = {"schema": known[route.body], "example": _EXAMPLES[route.body]}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _guard(operation: dict[str, Any]) -> None:
    """What the door and the handlers may answer to anything."""
    content = {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(name="Problem")}}}
    operation["security"] = [{"key": []}]
    for status, told in _PROBLEMS.items():
        operation["responses"][status] = {"description": told, "content": content}
