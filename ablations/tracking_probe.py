"""Asking an MLflow server who it is, as training would, without leaving anything there."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlflow import __version__ as OWN_VERSION
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

__all__ = ["OWN_VERSION", "Answer", "ServerAway", "ask_server"]

REQUEST_S = 10
READ = "/api/2.0/mlflow/experiments/search"
WRITE = "/api/2.0/mlflow/experiments/create"
USER = "/api/2.0/mlflow/users/current"


class ServerAway(Exception):
    """The server does not answer; says why."""


@dataclass(frozen=True)
class Answer:
    """What a server says; statuses are those of HTTP."""

    version: str | None
    """None where it does not say."""
    read_status: int
    read_text: str
    write_status: int
    """Of a request to make an experiment without a name: 400 where one with a name may be made."""
    took_ms: float
    """Of the read."""
    user: str | None = None
    """Who we are there, where the server asks for passwords."""


def ask_server(uri: str) -> Answer:
    """Read from a server, and ask for a write that it must refuse for what it lacks.

    Raises:
        ServerAway: it does not answer.
    """
    credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]

    def ask(
        path: str, method: str, body: dict[str, object] | None = None
    ) -> tuple[int, str, float]:
        response = http_request(  # type: ignore[no-untyped-call]
            credentials, path, method, max_retries=0, timeout=REQUEST_S, raise_on_status=False,
            json=body,
        )  # fmt: skip
        return response.status_code, response.text.strip(), response.elapsed.total_seconds() * 1000

    try:
        version_status, version, _ = ask("/version", "GET")
        read_status, read_text, took_ms = ask(READ, "POST", {"max_results": 1})
        write_status, _, _ = ask(WRITE, "POST", {})
        user_status, user, _ = ask(USER, "GET")
    except MlflowException as error:
        raise ServerAway(str(error)) from None
    is_version = version_status == 200 and version[:1].isdigit() and len(version) < 40
    return Answer(
        version=version if is_version else None,
        read_status=read_status,
        read_text=read_text[:200],
        write_status=write_status,
        took_ms=took_ms,
        user=_name(user) if user_status == 200 else None,
    )


def _name(text: str) -> str | None:
    """Name of the user in what a server with passwords says; others may say anything."""
    try:
        return str(json.loads(text)["user"]["username"])
    except (ValueError, KeyError, TypeError):
        return None
