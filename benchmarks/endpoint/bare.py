"""`uvicorn benchmarks.endpoint.bare:app`: a bare Starlette route whose answers have the size of the endpoint's."""

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
