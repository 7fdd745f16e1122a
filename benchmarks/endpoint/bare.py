"""`uvicorn benchmarks.endpoint.bare:app`: one bare Starlette route that reads a body and gives one of the size of ours."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def answer(request: Request) -> Response:
    """273 bytes, as many as a prediction of one row."""
    await request.body()
    return Response(b"x" * 273, media_type="application/json")


app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
