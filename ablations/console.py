"""The terminal as the command writes to it."""

from __future__ import annotations

import sys

from rich.console import Console


class _PlainConsole(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command that the reader went away; rich would end the process here."""
        raise BrokenPipeError


def plain_console() -> Console:
    """A terminal that prints names as they are: no markup, no guessing at what to colour."""
    return _PlainConsole(
        width=None if sys.stdout.isatty() else 160, markup=False, highlight=False, emoji=False
    )
