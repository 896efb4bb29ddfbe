"""The default tracking store: a SQLite file and an artifact folder under the home folder."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import filelock

from studies.errors import AblationError

SQLITE, SERVERS = "sqlite:///", ("http://", "https://")
"""How the addresses of stores begin that we know to look into."""
LOCK_PATIENCE_S = 120.0
"""How long we wait for a process that prepares a store, or a study in it."""
NONE = "none"
"""In place of a store: workers send nothing, and whoever syncs does."""


def default_tracking_uri(home: Path) -> str:
    """The store that a home folder has when no other is asked for."""
    return f"{SQLITE}{home.resolve() / 'mlflow.db'}"


def store_of_workers(uri: str) -> str:
    """Where workers on several machines send what they record: to a server, or nowhere.

    A SQLite file is broken by machines that write it together.
    """
    return NONE if sqlite_path(uri) is not None else uri


def prepare_store(uri: str) -> None:
    """Put a SQLite store into write-ahead mode, so that readers and writers do not wait."""
    path = sqlite_path(uri)
    if path is None:
        return
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def require_store(uri: str) -> None:
    """Refuse a SQLite file that is no store: MLflow would make one of it, or try for minutes.

    Raises:
        AblationError: there is no such file, or it is not a tracking store.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    if not path.exists():
        raise AblationError(
            f"nothing was run under {path.parent} yet: there is no tracking store {path.name}. "
            "`ablate run` makes it, and `ablate sync STUDY` makes it again from the run "
            "directories; --home names another folder, --tracking-uri another store."
        )
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
            connection.execute("SELECT count(*) FROM experiments")
    except sqlite3.Error as error:
        raise unreadable(uri, str(error)) from error


def unreadable(uri: str, words: str) -> AblationError:
    """The error that a store, in its own words, cannot be read."""
    return AblationError(
        f"the tracking store {uri} cannot be read: {words}\n"
        "Is it an MLflow store, and does its server run? --tracking-uri names another store, "
        "--home another folder with one."
    )


def store_lock(uri: str) -> contextlib.AbstractContextManager[object]:
    """Held while a SQLite store is created; other stores see to it themselves."""
    path = sqlite_path(uri)
    if path is None:
        return contextlib.nullcontext()
    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_PATIENCE_S)


def tracking_lock(folder: Path) -> contextlib.AbstractContextManager[object]:
    """Held while what a folder stands for is made in a store, once.

    Raises:
        filelock.Timeout: when entered; another process has held it for long, perhaps suspended.
    """
    return filelock.FileLock(folder / ".tracking.lock", timeout=LOCK_PATIENCE_S)


def artifact_root(uri: str, study: str) -> str | None:
    """Where a study's artifacts go; None leaves it to the tracking server."""
    path = sqlite_path(uri)
    return None if path is None else (path.parent / "mlartifacts" / study).as_uri()


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite store, None for any other store."""
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None
