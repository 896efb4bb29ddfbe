"""A PostgreSQL or MySQL database, for a cluster; or Optuna's gRPC proxy in front of one."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage

from ablations.storages.urls import kind_of, parsed
from ablations.typed_commands import PROXY_PORT
from studies.errors import AblationError

CONNECT_TIMEOUT_S = 10
CREATION_ATTEMPTS = 5
DRIVERS = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql"}

_POSTGRESQL_ARGUMENTS = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    # Who waits for a server that is gone without a word has to beat again within the grace time.
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,  # milliseconds in which what was sent is to be acknowledged
    "application_name": "ablate",
}
_MYSQL_ARGUMENTS = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": 60, "write_timeout": 60}


def open_server(url: str, *, existing: bool, connections: int = 1) -> BaseStorage:
    """Open a database, with its tables made where they are not there yet.

    Args:
        url: of the database, with its password where it has to have one here.
        existing: whether the tables are there, and are not looked at again.
        connections: that are kept open; for a moment there may be two more, such as where a beat
            meets a claim.
    """
    address, kind = parsed(url), kind_of(url)
    if "+" not in address.drivername:
        address = address.set(drivername=DRIVERS[kind])
    arguments = _POSTGRESQL_ARGUMENTS if kind == "postgresql" else _MYSQL_ARGUMENTS
    options: dict[str, Any] = {
        "pool_pre_ping": True,
        "pool_size": connections,
        "max_overflow": 2,
        "connect_args": arguments,
    }
    text = address.render_as_string(hide_password=False)
    for attempt in range(CREATION_ATTEMPTS):
        try:
            storage = RDBStorage(
                text,
                engine_kwargs=options,
                skip_compatibility_check=existing,
                skip_table_creation=existing,
            )
        except (sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.IntegrityError):
            if attempt + 1 == CREATION_ATTEMPTS:
                raise
            time.sleep(0.5)  # another process makes the same tables at this moment
        else:
            break
    return optuna.storages.get_storage(storage)


def open_proxy(url: str) -> BaseStorage:
    """Reach a database through `ablate proxy`."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what matters is raised
    address = parsed(url)
    if address.host is None:
        raise AblationError(f"storage {url!r} names no host; write grpc://HOST:{PROXY_PORT}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return GrpcStorageProxy(host=address.host, port=address.port or PROXY_PORT)


def serve_proxy(
    storage: BaseStorage, host: str, port: int, threads: int, on_start: Callable[[], None]
) -> None:
    """Serve a storage over gRPC, without encryption or passwords, until something is raised here.

    Raises:
        RuntimeError: the address cannot be had.
    """
    import grpc  # type: ignore[import-untyped]
    from optuna.storages._grpc.auto_generated import api_pb2_grpc
    from optuna.storages._grpc.servicer import OptunaStorageProxyService

    # Optuna's own function says not when the server is up, and lets two serve on one port in turn.
    server = grpc.server(ThreadPoolExecutor(threads), options=[("grpc.so_reuseport", 0)])
    service = OptunaStorageProxyService(storage)
    api_pb2_grpc.add_StorageServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    on_start()
    try:
        server.wait_for_termination()
    finally:
        server.stop(grace=None)
