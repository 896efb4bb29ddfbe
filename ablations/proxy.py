"""`ablate proxy`: Optuna's gRPC proxy, one set of connections to a database for many workers."""

from __future__ import annotations

import os
import signal
from types import FrameType

from ablations.ledger_location import ANSWER_S, STORAGE_VARIABLE, answering
from ablations.storages.server import open_server
from ablations.storages.urls import SERVERS, kind_of, refuse_password, without_password
from studies.errors import AblationError

CONNECTIONS = 10
"""To the database at a time, and so requests that are served at a time."""


def serve(asked: str | None, host: str, port: int) -> int:
    """Serve a database to workers until a signal asks to stop.

    Raises:
        AblationError: there is no database, it does not answer, or the address cannot be had.
    """
    if asked is not None:
        refuse_password(asked, "--storage")
    url = asked or os.environ.get(STORAGE_VARIABLE)
    if url is None or kind_of(url) not in SERVERS:
        raise AblationError(
            f"a proxy stands in front of a PostgreSQL or MySQL database, not of {url!r}: give "
            f"--storage postgresql://USER@HOST/DATABASE, or set {STORAGE_VARIABLE}"
        )
    try:
        from ablations.storages.grpc_proxy import serve_proxy
    except ModuleNotFoundError as error:
        raise AblationError(
            f"a proxy needs the Python package {error.name!r}: pip install 'ablations[cluster]'"
        ) from None
    storage = answering(url, ANSWER_S, open_server, url, existing=False, connections=CONNECTIONS)
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _stop)
    shown = f"{without_password(url)} at grpc://{host}:{port}"
    try:
        serve_proxy(storage, host, port, CONNECTIONS, lambda: print(f"serving {shown}", flush=True))
    except KeyboardInterrupt:
        return 0
    except RuntimeError as error:
        raise AblationError(
            f"cannot serve {shown}: {error}; choose another --port or --host"
        ) from None
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
