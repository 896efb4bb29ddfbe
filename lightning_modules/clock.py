"""How long a run trains, told apart from what it spends on looking at itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields

import torch

WARM_UP_STEPS = 3
"""Steps of each attempt that no pace is taken from: compilation and first-touch allocation."""


@dataclass
class Times:
    """Seconds and steps of a run, over all its attempts."""

    training_s: float = 0.0
    timed_s: float = 0.0
    """Training time of the steps that count for throughput."""
    timed_steps: int = 0
    diagnostics_s: float = 0.0


class Clock:
    """Runs while a run trains, and stands still while it evaluates, probes or saves."""

    def __init__(self) -> None:
        self.times = Times()
        self._device = torch.device("cpu")
        self._since = time.perf_counter()
        self._attempt_steps = 0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def start(self, device: torch.device) -> None:
        """Begin an attempt on a device."""
        self._device = device
        self._attempt_steps = 0
        self._since = self._now()

    def end_step(self) -> None:
        """Count an optimiser step; a synchronisation only where the warm-up ends."""
        self._attempt_steps += 1
        if self._attempt_steps > WARM_UP_STEPS:
            self.times.timed_steps += 1
        elif self._attempt_steps == WARM_UP_STEPS:
            self.read(timed=False)

    def read(self, *, timed: bool = True) -> Times:
        """The times up to now."""
        now = self._now()
        self._take_events()
        elapsed, self._since = now - self._since, now
        self.times.training_s += elapsed
        if timed and self._attempt_steps >= WARM_UP_STEPS:
            self.times.timed_s += elapsed
        return self.times

    def elapsed_s(self) -> float:
        """The training time up to now, without waiting for a GPU.

        What is queued there is not in it yet: no more than the steps since a loss was last copied
        to the host, and the few hundred kernels that fit into the queue.
        """
        self._take_events()
        return self.times.training_s + time.perf_counter() - self._since

    def step_s(self) -> float | None:
        """Mean time of the steps that count for throughput, over all attempts; None before any.

        As `elapsed_s`, it is read without waiting for a GPU.
        """
        if not self.times.timed_steps:
            return None
        is_timed = self._attempt_steps >= WARM_UP_STEPS
        since_s = self.elapsed_s() - self.times.training_s if is_timed else 0.0
        return (self.times.timed_s + since_s) / self.times.timed_steps

    @contextmanager
    def aside(self, *, diagnostics: bool = False) -> Iterator[None]:
        """Stop the training time for a block, and enter the block's under diagnostics if it is."""
        self.read()
        try:
            yield
        finally:
            now = self._now()
            if diagnostics:
                self.times.diagnostics_s += now - self._since
            self._since = now

    @contextmanager
    def diagnostics_in_step(self) -> Iterator[None]:
        """As `aside(diagnostics=True)`, between the parts of a training step.

        There a GPU must not be waited for: it notes the times itself, to be read later.
        """
        if self._device.type != "cuda":
            with self.aside(diagnostics=True):
                yield
            return
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        yield
        end.record()
        self._events.append((start, end))

    def state_dict(self) -> dict[str, float]:
        """The times up to now, as plain numbers."""
        return asdict(self.read())

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Add to the times of earlier attempts from here on."""
        self.times = Times(**{f.name: state[f.name] for f in fields(Times)})  # type: ignore[arg-type]

    def _take_events(self) -> None:
        """Take out of the training time what a GPU noted for diagnostics that it is done with."""
        while self._events and self._events[0][1].query():  # type: ignore[no-untyped-call]
            start, end = self._events.pop(0)
            seconds = start.elapsed_time(end) / 1000
            self.times.diagnostics_s += seconds
            self._since += seconds

    def _now(self) -> float:
        return time_of(self._device)


def time_of(device: torch.device) -> float:
    """Seconds on a clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
