"""A PostgreSQL or MySQL database, for a cluster."""

from __future__ import annotations

import time
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage

from ablations.storages.urls import kind_of, parsed

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
        except sqlalchemy.exc.DBAPIError as error:
            if attempt + 1 == CREATION_ATTEMPTS or not _is_of_two_makers(error):
                raise
            time.sleep(0.5)
        else:
            break
    return optuna.storages.get_storage(storage)


def _is_of_two_makers(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Whether another process makes the same tables at this moment."""
    if isinstance(error, sqlalchemy.exc.OperationalError):  # MySQL, of all else as well
        return "already exists" in str(error)
    return isinstance(error, sqlalchemy.exc.ProgrammingError | sqlalchemy.exc.IntegrityError)
