"""Errors as application/problem+json (RFC 9457). They name the fault and never send the input back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

MOST_FAULTS = 20
LONGEST = 80


class Refusal(HTTPException):
    """An HTTP error with a reason, and where it helps the single faults as (where, what)."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        faults: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.faults = list(faults)


def cut(text: object, longest: int = LONGEST) -> str:
    """A stranger's text, short enough to be shown."""
    shown = str(text)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def problem(
    status: int, detail: str, faults: Iterable[tuple[str, str]] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The response of an error. JSON in ASCII, so that no text can fail to be encoded."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    listed = [{"where": cut(where, 200), "what": cut(what, 300)} for where, what in faults]
    if listed:
        document["errors"] = listed[:MOST_FAULTS]
        if len(listed) > MOST_FAULTS:
            document["detail"] += f" ({len(listed)} faults, the first {MOST_FAULTS} are listed)"
    return Response(json.dumps(document), status, headers, "application/problem+json")


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (registered for it; the signature is Starlette's)
    faults = error.faults if isinstance(error, Refusal) else ()
    return problem(error.status_code, str(error.detail), faults, error.headers)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  (as above)
    faults = [(".".join(cut(part) for part in fault["loc"]), fault["msg"]) for fault in error.errors()]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not have the form that this address takes", faults)


async def _on_fault(_request: Request, error: Exception) -> Response:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: a fault of the endpoint, see its log")


def add_problem_handlers(app: FastAPI) -> None:
    """Make every error of an app a problem document."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_fault)
