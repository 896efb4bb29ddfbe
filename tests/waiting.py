"""Waiting for what other processes and threads do, on machines of any speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

PATIENCE_S = 300.0
"""More than anything takes that is not broken."""


def wait_until(condition: Callable[[], Answer], what: str, *, every_s: float = 0.02) -> Answer:
    """Ask until the answer is true, and return it.

    Raises:
        AssertionError: it was not within `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not in {PATIENCE_S:.0f} s: {what}"
        time.sleep(every_s)
    return answer
