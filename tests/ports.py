"""Ports of loopback for the servers that tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket

# Below the ports of outgoing connections (from 32768 on Linux), which could take a port before its server does.
FIRST, PER_WORKER = 20_000, 1_000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % 12
_places = itertools.count(random.randrange(PER_WORKER))  # another run on this machine begins elsewhere


def free_ports(count: int) -> list[int]:
    """Different free ports. No port is returned twice in a process, and each worker of a run has ports of its own."""
    found: list[int] = []
    for place in itertools.islice(_places, PER_WORKER):
        port = FIRST + _WORKER * PER_WORKER + place % PER_WORKER
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"{count} free ports were expected from {FIRST + _WORKER * PER_WORKER} on, found {len(found)}")


def free_port() -> int:
    """A free port."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just closed there does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
