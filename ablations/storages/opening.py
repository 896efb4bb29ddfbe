"""Opening an Optuna storage so that a queue can live in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from ablations.storages.journal import open_journal
from ablations.storages.server import open_server
from ablations.storages.sqlite import open_sqlite
from ablations.storages.urls import kind_of, without_password
from studies.errors import AblationError
from studies.registry import Registry

Opener = Callable[[str, bool], BaseStorage]
"""Opens a URL; true for a storage that is there already, whose schema is not checked again."""


def _open_journal(url: str, _: bool) -> BaseStorage:
    return open_journal(Path(url.removeprefix("journal://")))


def _open_server(url: str, existing: bool) -> BaseStorage:
    return open_server(url, existing=existing)


def _open_proxy(url: str, _: bool) -> BaseStorage:
    from ablations.storages.grpc_proxy import open_proxy

    return open_proxy(url)


STORAGES: Registry[Opener] = Registry(
    "storage",
    {
        "sqlite": lambda url, existing: open_sqlite(url, existing=existing),
        "journal": _open_journal,
        "postgresql": _open_server,
        "mysql": _open_server,
        "grpc": _open_proxy,
    },
)


def open_storage(url: str, *, existing: bool = False) -> BaseStorage:
    """Open or create a storage in which claiming a trial really is compare-and-set.

    `existing` opens one that is there already without checking its schema, in a third of the time.

    Raises:
        AblationError: the URL names no storage that we know, or its driver is not installed, or it
            was made by another version of Optuna.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return STORAGES[kind_of(url)](url, existing)
    except ImportError as error:
        missing = error.name or getattr(error.__cause__, "name", None)  # Optuna wraps it
        raise AblationError(
            f"storage {without_password(url)} needs the Python package {missing!r}, which is "
            "not installed: pip install 'ablations[cluster]'"
        ) from None
    except RuntimeError as error:
        if "version" not in str(error):
            raise
        raise AblationError(
            f"storage {without_password(url)} was made by another version of Optuna: {error} Use "
            "the version that made it, or give the study another storage."
        ) from None
