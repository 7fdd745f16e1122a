"""Waiting for something outside this process, with a limit and with the last state in the error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tasks.errors import ServiceUnavailable

T = TypeVar("T")


class NotYet(Exception):
    """What a probe raises while the awaited state is not reached. Its text describes the present state."""


def wait_until(probe: Callable[[], T], *, seconds: float, pause: float, what: str, remedy: str = "") -> T:
    """Call `probe` until it returns, and return its value.

    Parameters
    ----------
    probe : raises `NotYet` with the present state as long as it has to be called again. Other exceptions pass through.
    seconds : the limit for all calls together; the probe is called at least once.
    pause : seconds between two calls.
    what : what is awaited, for the error: "the endpoint to serve version 3".
    remedy : where to look or what to do, for the error.

    Raises
    ------
    ServiceUnavailable : the limit is reached; names what was awaited, the last state and the remedy.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(NotYet), stop=stop_after_delay(seconds), wait=wait_fixed(pause), sleep=time.sleep
    )
    try:
        return attempts(probe)
    except RetryError as error:
        state = error.last_attempt.exception()
        message = f"waited {seconds:g} s for {what}; last state: {state or 'unknown'}"
        raise ServiceUnavailable(f"{message}. {remedy}" if remedy else message) from state
