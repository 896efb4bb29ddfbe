"""Lightning without its chatter, and without its hand on the process."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytorch_lightning as pl

_LOGGERS = ("pytorch_lightning", "lightning_fabric")

_NOT_ABOUT_A_RUN = (
    "The `srun` command is available",  # whoever starts the workers decides about srun
    "You defined a `validation_step` but have no `val_dataloader`",  # the callback evaluates
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # between Lightning 2.6 and torch 2.13
)

SignalHandler = Callable[[int, FrameType | None], object] | int | None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Drop messages below a warning, and the warnings that are never about a run."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _NOT_ABOUT_A_RUN:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C in a fit be a KeyboardInterrupt.

    Lightning makes it an exit of the process, and turns a deaf ear to every later one.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from stop


@contextmanager
def unlogged(module: pl.LightningModule) -> Iterator[None]:
    """Let `self.log` do nothing in steps that are called outside Lightning's own loops.

    Lightning refuses there what it allows in its loops, and nobody would read it.
    """
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.log


class TerminationHandler:
    """Remembers who handles SIGTERM, and gives it back after Lightning took it.

    Lightning would raise in the middle of accumulated micro-batches; whoever runs the run is told
    by `should_stop`, and has it saved at the end of a step.
    """

    def __init__(self) -> None:
        self._handler: SignalHandler = signal.getsignal(signal.SIGTERM)

    def reinstate(self) -> None:
        """Put the remembered handler in place; signals belong to the main thread."""
        if self._handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)
