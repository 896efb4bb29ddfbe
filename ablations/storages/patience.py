"""Calling a storage whose database may be away for a while."""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import sqlalchemy
from optuna.exceptions import StorageInternalError

from ablations.redaction import redacted

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE_S = 120.0
"""How long a call waits for its database where nobody says otherwise."""

UNSEEDED = random.SystemRandom()
"""For what workers shall do at different moments: a run seeds the generator of its process, with
the same seed as others, and nobody else is to draw from it."""

_NO_SPACE_OR_SERVER = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
_GRPC_AWAY = ("UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL")
"""The second is what a proxy answers whose own database is away."""

_REFUSALS = ("authentication failed", "access denied", "no password supplied", "unknown database")


def is_away(error: BaseException) -> bool:
    """Whether an error says that the database does not answer just now."""
    if is_refused(error):
        return False
    if isinstance(error, OSError) and error.errno in _NO_SPACE_OR_SERVER:
        return True
    if lacks_tables(error):
        return False
    away = (StorageInternalError, sqlalchemy.exc.OperationalError, ConnectionError)
    return isinstance(error, away) or _is_grpc_away(error)


def lacks_tables(error: BaseException) -> bool:
    """Whether an error says that nobody has made a storage of this database yet."""
    return isinstance(error.__cause__ or error, sqlalchemy.exc.ProgrammingError)


def is_refused(error: BaseException) -> bool:
    """Whether a database answers, and will not have us: waiting does not help."""
    text = f"{error} {error.__cause__}".lower()
    return isinstance(error, StorageInternalError | sqlalchemy.exc.OperationalError) and any(
        words in text for words in _REFUSALS
    )


def words_of(error: BaseException) -> str:
    """What a storage says, in a line."""
    details = getattr(error, "details", None)
    text = details() if callable(details) else str(error.__cause__ or error)
    return (str(text).strip() or type(error).__name__).splitlines()[0][:300]


def patiently(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a storage until its database answers, for two minutes at most."""
    return within(PATIENCE_S, call, *args, **kwargs)


def within(limit_s: float, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a storage until its database answers, for so many seconds at most."""
    deadline, wait_s = time.monotonic() + limit_s, 0.1
    while True:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if not is_away(error) or time.monotonic() > deadline:
                raise
            time.sleep(wait_s * UNSEEDED.uniform(0.5, 1.5))
            wait_s = min(2 * wait_s, 5)


@contextmanager
def outliving(consequence: str) -> Iterator[None]:
    """Go on where the database is still away after all patience; what follows of it is logged."""
    try:
        yield
    except Exception as error:
        if not is_away(error):
            raise
        log.warning("the queue does not answer (%s): %s", redacted(words_of(error)), consequence)


def _is_grpc_away(error: BaseException) -> bool:
    """Whether a proxy cannot be reached, or cannot reach its database; gRPC is not imported."""
    if not type(error).__module__.startswith("grpc"):
        return False
    code = getattr(error, "code", lambda: None)()
    return getattr(code, "name", "") in _GRPC_AWAY
