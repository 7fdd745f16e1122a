"""Polling ends with the probe's value, with the probe's error, or with a timeout that names the last state."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tasks.errors import ServiceUnavailable
from tasks.io.polling import NotYet, wait_until


def after(calls: int, state: str = "starting") -> Callable[[], int]:
    """A probe that returns the number of its calls from call number `calls` on."""
    made = 0

    def probe() -> int:
        nonlocal made
        made += 1
        if made < calls:
            raise NotYet(f"{state} {made}")
        return made

    return probe


def test_the_value_of_the_probe_is_returned() -> None:
    assert wait_until(after(3), seconds=5, pause=0, what="a value") == 3


def test_a_timeout_names_the_wait_the_last_state_and_the_remedy() -> None:
    expected = r"^waited 0.05 s for the endpoint to serve version 3; last state: it serves version \d+\. See /readyz\.$"
    with pytest.raises(ServiceUnavailable, match=expected):
        wait_until(
            after(10**9, "it serves version"),
            seconds=0.05,
            pause=0.01,
            what="the endpoint to serve version 3",
            remedy="See /readyz.",
        )


def test_the_probe_is_called_once_without_any_time() -> None:
    assert wait_until(after(1), seconds=0, pause=0, what="a value") == 1
    with pytest.raises(ServiceUnavailable, match="last state: starting 1"):
        wait_until(after(2), seconds=0, pause=0, what="a value")


def test_other_errors_end_the_wait() -> None:
    def probe() -> None:
        raise ValueError("broken")

    begin = time.monotonic()
    with pytest.raises(ValueError, match="broken"):
        wait_until(probe, seconds=60, pause=1, what="a value")
    assert time.monotonic() - begin < 10
