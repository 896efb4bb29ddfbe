"""Errors that tell a user what was asked, what came, what is allowed and what to do next."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from studies.aliases import ALIASES

ABSENT: Final = object()
"""Stands for a value that was not given; null is a value."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12
_SHORT.maxlevel = 3
_LONGEST_VALUE = 400


class AblationError(Exception):
    """A mistake that the user can mend; the message says how."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a study."""

    source: str
    """File (or `--set`) that the value came from."""
    key: str
    """Dotted configuration key, or the name of a section."""
    value: object
    """What was given, or `ABSENT`."""
    allowed: str
    """What may stand there."""
    remedy: str
    """What to do about it."""

    def __str__(self) -> str:
        given = "" if self.value is ABSENT else f" = {_SHORT.repr(self.value)[:_LONGEST_VALUE]}"
        return (
            f"{self.source}: {self.key}{given}\n    allowed: {self.allowed}\n    do: {self.remedy}"
        )


class InvalidStudy(AblationError):
    """A study that cannot be run as written, with every problem that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = "\n".join(f"  {index}. {p}" for index, p in enumerate(self.problems, 1))
        super().__init__(f"{len(self.problems)} {noun} in the study; nothing was run.\n{lines}")


class UnknownName(AblationError):
    """A name that is in no registry."""


def close_matches(name: str, known: Iterable[str]) -> str:
    """A hint such as "did you mean 'gelu'?", or an empty string when nothing is near.

    What others call one of the known names stands for it; upper and lower case are the same.
    """
    names = {known_name.lower(): known_name for known_name in known}
    ours = ALIASES.get(_leaf(name.lower()).replace("-", "_"))
    near = [lower for lower in names if _leaf(lower) == ours]
    near = [n for n in near if n.rpartition(".")[0] == name.lower().rpartition(".")[0]] or near
    near = near or difflib.get_close_matches(name.lower(), names, cutoff=0.5)
    return f"did you mean {' or '.join(repr(names[n]) for n in near[:3])}?" if near else ""


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
