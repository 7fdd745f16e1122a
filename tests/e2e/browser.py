"""A real browser: headless Chromium, driven over its DevTools protocol with real mouse and key events."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIND = """
(() => {{
  const shown = (one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== "hidden";
  const row = (one) => one.closest("tr, [role=row]")?.innerText.split("\\n")[0].trim();
  const fits = (one) => one.innerText.trim().startsWith({text}) && ({row} === "" || row(one) === {row});
  const hit = [...document.querySelectorAll({css})].find((one) => shown(one) && fits(one));
  if (!hit) return null;
  hit.scrollIntoView({{block: "center"}});
  const box = hit.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}})()
"""


class Browser:
    """One page. Each lookup waits, because the pages render after they have loaded."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command of the protocol and return its answer. Events in between are dropped."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def evaluate(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url="about:blank")  # otherwise a change after the # would load no page
        self.call("Page.navigate", url=url)

    def text(self) -> str:
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def await_text(self, words: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.text():
            assert time.monotonic() < deadline, f"{words!r} did not appear; the page says:\n{self.text()[:3000]}"
            time.sleep(0.3)

    def click(self, css: str, text: str = "", row: str = "", seconds: float = 60) -> None:
        """Click the first visible element of a selector whose text, and whose table row, begins with these."""
        script = FIND.format(css=json.dumps(css), text=json.dumps(text), row=json.dumps(row))
        deadline = time.monotonic() + seconds
        while (spot := self.evaluate(script)) is None:
            assert time.monotonic() < deadline, f"no {css} with {text or row!r}; the page says:\n{self.text()[:3000]}"
            time.sleep(0.3)
        time.sleep(0.3)  # it may still move while a dialog opens
        x, y = self.evaluate(script) or spot
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def fill(self, css: str, text: str, row: str = "") -> None:
        """Replace the text of a field."""
        self.click(css, row=row)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="a", code="KeyA", modifiers=2, commands=["selectAll"])
        self.call("Input.insertText", text=text)

    def picture(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        return path


@contextmanager
def open_browser(folder: Path, width: int = 1400, height: int = 1000) -> Iterator[Browser]:
    """Chromium with a new profile. Skips the test if no browser is installed."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command = [program, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}", f"--window-size={width},{height}"]
    with subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            port = _await_port(folder / "DevToolsActivePort")
            pages = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=30).json()
            address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            with connect(address, max_size=None) as socket:
                browser = Browser(socket)
                browser.call("Page.enable")
                yield browser
        finally:
            process.terminate()


def _await_port(path: Path) -> int:
    deadline = time.monotonic() + 60
    while not path.is_file() or not path.read_text().strip():
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.1)
    return int(path.read_text().split()[0])
