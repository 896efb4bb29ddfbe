"""What a check of `ablate doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARNING = "warning"
    """A study runs, but something may go wrong or slow."""
    PROBLEM = "problem"
    """A study does not run, or loses or doubles work."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report, and one more where there is something to do."""

    mark: Mark
    subject: str
    """What was looked at."""
    found: str
    remedy: str = ""
    """What to do; empty where all is well."""


def ok(subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(Mark.OK, subject, found)


def warning(subject: str, found: str, remedy: str) -> Finding:
    """Something may go wrong."""
    return Finding(Mark.WARNING, subject, found, remedy)


def problem(subject: str, found: str, remedy: str) -> Finding:
    """Something does not work."""
    return Finding(Mark.PROBLEM, subject, found, remedy)
