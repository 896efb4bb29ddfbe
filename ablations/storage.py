"""Opening an Optuna storage so that a queue can live in it."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import filelock
import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import event

P = ParamSpec("P")
R = TypeVar("R")

AWAY = (StorageInternalError, sqlalchemy.exc.OperationalError, ConnectionError)
"""What a database raises that does not answer just now."""
LOCK_TIMEOUT_S = 60
"""How long a transaction waits for the one writer that SQLite admits."""


def sqlite_url(path: Path) -> str:
    """Storage URL of a SQLite file."""
    return f"sqlite:///{path.resolve()}"


def open_storage(url: str, *, existing: bool = False) -> BaseStorage:
    """Open or create a SQLite storage in which compare-and-set really is one.

    `existing` opens one that is there already without checking its schema, in a third of the time.

    Optuna claims a trial with SELECT ... FOR UPDATE, which SQLite ignores: two workers then train
    the same run. Taking the write lock at the start of every transaction closes that gap.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with nullcontext() if existing else _creation_lock(url):
        storage = RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": LOCK_TIMEOUT_S, "isolation_level": None}},
            skip_compatibility_check=existing,
            skip_table_creation=existing,
        )

    @event.listens_for(storage.engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(storage.engine, "begin")
    def _begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.engine.dispose()  # connections made before the hooks were there
    return optuna.storages.get_storage(storage)


def _creation_lock(url: str) -> filelock.BaseFileLock:
    """Keeps two processes from creating the tables of one file at the same moment."""
    path = Path(url.removeprefix("sqlite:///"))
    return filelock.FileLock(path.with_name(f".{path.name}.lock"))


def patiently(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a storage until its database answers, for two minutes at most."""
    deadline, wait_s = time.monotonic() + 120, 0.1
    while True:
        try:
            return call(*args, **kwargs)
        except AWAY:
            if time.monotonic() > deadline:
                raise
            time.sleep(wait_s * random.uniform(0.5, 1.5))
            wait_s = min(2 * wait_s, 5)
