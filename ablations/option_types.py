"""Values as options of the command take them."""

from __future__ import annotations

import argparse
import math

from ablations.redaction import TRACKING_PASSWORDS, has_password


def positive(text: str) -> int:
    """A whole number from 1 on.

    Raises:
        ArgumentTypeError: it is none.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def hours(text: str) -> float:
    """A length of time, which may be zero or without end.

    Raises:
        ArgumentTypeError: it is none.
    """
    number = float(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return number


def above_zero(text: str) -> float:
    """A finite number above 0.

    Raises:
        ArgumentTypeError: it is none.
    """
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def address(text: str) -> str:
    """The address of a store, which gets into logs, other command lines and reports.

    Raises:
        ArgumentTypeError: it has a password in it.
    """
    if has_password(text):
        raise argparse.ArgumentTypeError(
            "it has a password in it, which others can read on this command line and in logs. "
            + TRACKING_PASSWORDS
        )
    return text
