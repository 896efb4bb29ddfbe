"""What the errors of a tracking store mean to the person who asked something of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ablations.tracking_store import unreadable
from studies.errors import AblationError

LETTERS = 200
"""Of what a store says, which has a line."""
SPEAKERS = {"mlflow", "requests", "sqlalchemy"}
"""Packages whose errors are those of a store; any other error is one of ours."""
UNKNOWN_USER, FORBIDDEN = 401, 403
CREATE = "make an experiment"


@contextlib.contextmanager
def explaining(uri: str) -> Iterator[None]:
    """Raise what a store refuses, or cannot do, as an error that says what to do.

    Raises:
        AblationError: the store at the URI does not know the user, does not let them, or is away.
    """
    try:
        yield
    except Exception as error:
        if not _is_of_a_store(error):
            raise
        raise explained(uri, error) from error


def explained(uri: str, error: Exception) -> AblationError:
    """The error of a store, with what to do about it."""
    advice = _advice(error)
    if advice is None:
        return unreadable(uri, reason(error))
    return AblationError(f"the tracking store {uri} refuses: {reason(error)}\n{advice}")


def reason(error: BaseException) -> str:
    """What a store means, in a line."""
    status = _status(error)
    if status == UNKNOWN_USER:
        user = _user()
        return f"no user {user!r} with this password" if user else "it wants a user and a password"
    if _is_about_the_host(error):
        return "it does not serve under this host name"
    if status == FORBIDDEN:
        return f"{_user() or 'this user'} may not {_deed(error)}"
    return _brief(error)


def _advice(error: BaseException) -> str | None:
    """What to do about a refusal, None for any other error."""
    status = _status(error)
    if status == UNKNOWN_USER:
        return (
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment; who "
            "runs the server makes users and sets new passwords (docs/tracking-server.md)."
        )
    if _is_about_the_host(error):
        return (
            "Start the server with --allowed-hosts and this name, as it stands in the address, or "
            "reach it as 127.0.0.1 through `ssh -L` (docs/tracking-server.md)."
        )
    if status == FORBIDDEN and _deed(error) == CREATE:
        return "Ask who runs the server for the right to (docs/tracking-server.md)."
    if status == FORBIDDEN:
        return (
            "Who made the study's experiment there, or an administrator, grants READ or EDIT on "
            "it; a study under another name (--set name=NAME) has an experiment of its own "
            "(docs/tracking-server.md)."
        )
    return None


def _deed(error: BaseException) -> str:
    """What was asked, by the address that it was asked of."""
    words = str(error)
    if "/experiments/create " in words:
        return CREATE
    return "read this study" if "/get" in words or "/search" in words else "write to this study"


def _is_of_a_store(error: Exception) -> bool:
    return any(kind.__module__.partition(".")[0] in SPEAKERS for kind in type(error).__mro__)


def _status(error: BaseException) -> int | None:
    """Status of the answer that a request got: MLflow and requests keep it in different places."""
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    code = getattr(error, "get_http_status_code", None)
    return None if code is None else int(code())


def _is_about_the_host(error: BaseException) -> bool:
    return _status(error) == FORBIDDEN and "Invalid Host header" in str(error)


def _user() -> str | None:
    """Who MLflow says is asking, by the environment or by ~/.mlflow/credentials; None if nobody."""
    from mlflow.utils.credentials import read_mlflow_creds

    credentials = read_mlflow_creds()
    return str(credentials.username) if credentials.username and credentials.password else None


def _brief(error: BaseException) -> str:
    """The first line, of errors of a connection the innermost one."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "(Caused by " in line:
        line = line.rpartition(": ")[2].removesuffix("))").rstrip("\"'")
    return line[:LETTERS]
