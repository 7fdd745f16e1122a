"""Ports of loopback for the servers that tests start."""

from __future__ import annotations

import contextlib
import socket


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on; all are held at once, so that none comes twice."""
    with contextlib.ExitStack() as stack:
        doors = [stack.enter_context(socket.socket()) for _ in range(count)]
        for door in doors:
            door.bind(("127.0.0.1", 0))
        return [int(door.getsockname()[1]) for door in doors]


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)[0]
