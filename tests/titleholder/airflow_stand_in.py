"""The part of Airflow's REST API that the watch service calls. A run id can be used once."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CASE = "purchase_propensity"


class Airflow(ThreadingHTTPServer):
    """A server on a free port. `runs` holds the triggered runs by id."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()
        self.is_down = False
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Airflow

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def do_GET(self) -> None:
        if self.path.startswith("/auth/token"):
            self._answer(200, {"access_token": "t"})
        else:
            done = {"state": "failed", "start_date": "2026-01-01T00:00:00Z", "end_date": "2026-01-01T00:10:00Z"}
            good = {**done, "state": "success", "end_date": "2025-12-31T00:00:00Z"}
            self._answer(200, {"dag_runs": [{"dag_id": f"{CASE}.training", **one} for one in (done, good)]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            if self.server.is_down:
                self._answer(503, {})
            elif body["dag_run_id"] in self.server.runs:
                self._answer(409, {"detail": "already there"})
            else:
                self.server.runs[body["dag_run_id"]] = {"path": self.path, **body}
                self._answer(200, {"dag_run_id": body["dag_run_id"]})

    def log_message(self, *_: Any) -> None:
        pass
