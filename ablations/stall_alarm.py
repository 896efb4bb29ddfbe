"""Ends a process that hangs in training: in a device or a file system it hears no signal."""

from __future__ import annotations

import faulthandler
import time

RENEWED_S = 1.0
STALLED = "Timeout ("
"""How the line begins before the stacks in the log of a process that was ended."""
STDERR = 2


class StallAlarm:
    """Goes off where training stands still; the stacks of all threads are in the worker's log.

    The interpreter's own thread in C watches, which a thread that holds the interpreter's lock
    cannot stop.
    """

    def __init__(self, minutes: float | None) -> None:
        """Take how long training may stand still; None for ever."""
        self._limit_s = None if minutes is None else 60 * minutes
        self._renewed_at = -RENEWED_S
        self._is_set = False

    def step(self) -> None:
        """A step was made. The first one sets the alarm: what comes before may take long."""
        self._is_set = True
        self.put_off()

    def put_off(self) -> None:
        """Something else went on, such as an evaluation."""
        now = time.monotonic()
        if self._limit_s is None or not self._is_set or now - self._renewed_at < RENEWED_S:
            return
        faulthandler.dump_traceback_later(self._limit_s + RENEWED_S, exit=True, file=STDERR)
        self._renewed_at = now

    def close(self) -> None:
        """Training is over."""
        if self._limit_s is not None:
            faulthandler.cancel_dump_traceback_later()
