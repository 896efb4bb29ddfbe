"""A SQLite file, for the workers of one machine."""

from __future__ import annotations

import sqlite3
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import filelock
import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import event

PREFIX = "sqlite:///"
LOCK_TIMEOUT_S = 60
"""How long a transaction waits for the one writer that SQLite admits."""


def sqlite_url(path: Path) -> str:
    """Storage URL of a SQLite file."""
    return f"{PREFIX}{path.resolve()}"


def open_sqlite(url: str, *, existing: bool) -> BaseStorage:
    """Open or create a SQLite storage in which compare-and-set really is one.

    Optuna claims a trial with SELECT ... FOR UPDATE, which SQLite ignores: two workers then train
    the same run. Taking the write lock at the start of every transaction closes that gap.
    """
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
    path = Path(url.removeprefix(PREFIX))
    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(path.with_name(f".{path.name}.lock"))
