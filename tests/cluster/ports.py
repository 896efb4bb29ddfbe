"""Free ports for servers that tests start, stop and start again."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 20_000, 32_000
"""Below the ports of outgoing connections: none of them takes the port of a server that is down."""


def free_ports(count: int = 1) -> range:
    """Ports of 127.0.0.1, one after another, that nobody listens on."""
    for _ in range(1000):
        start = random.randrange(FIRST, LAST - count)
        ports = range(start, start + count)
        if all(_is_free(port) for port in ports):
            return ports
    raise AssertionError(f"no {count} free ports in a row between {FIRST} and {LAST}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
