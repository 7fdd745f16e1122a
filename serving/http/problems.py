"""Errors as application/problem+json (RFC 9457). They name the fault and never echo the input."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

MAX_FAULTS = 20
MAX_TEXT = 80
INVALID_REQUEST = "the request does not have the form that this route expects"


class Refusal(HTTPException):
    """An HTTP error with its reason.

    Parameters
    ----------
    faults : single faults as (where, what).
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        faults: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.faults = list(faults)


def shorten(text: object, longest: int = MAX_TEXT) -> str:
    """A text of a client, at most `longest` characters long."""
    shown = str(text)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def make_problem(
    status: int, detail: str, *, faults: Iterable[tuple[str, str]] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The response for an error. Its JSON is ASCII, so that every text can be encoded."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    listed = [{"where": shorten(where, 200), "what": shorten(what, 300)} for where, what in faults]
    if listed:
        document["errors"] = listed[:MAX_FAULTS]
        if len(listed) > MAX_FAULTS:
            document["detail"] += f" ({len(listed)} faults, the first {MAX_FAULTS} are listed)"
    return Response(json.dumps(document), status, headers, "application/problem+json")


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this type; Starlette's signature is wider
    faults = error.faults if isinstance(error, Refusal) else ()
    return make_problem(error.status_code, str(error.detail), faults=faults, headers=error.headers)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  as above
    faults = [(".".join(shorten(part) for part in fault["loc"]), fault["msg"]) for fault in error.errors()]
    return make_problem(HTTPStatus.UNPROCESSABLE_ENTITY, INVALID_REQUEST, faults=faults)


async def _on_error(_request: Request, error: Exception) -> Response:
    detail = f"{type(error).__name__}: an error of the endpoint; see its log"
    return make_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of an app with a problem document."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_error)
