"""Empty storages of each kind that a queue can live in, for the tests that must hold on all."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from ablations.storages.sqlite import sqlite_url

STORAGES = ("sqlite", "journal", "postgresql")
UNREACHABLE = "postgresql://ada@127.0.0.1:1/ablations"


def new_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """An empty storage of the kind that the fixture is parametrised with."""
    if request.param == "sqlite":
        return sqlite_url(folder / "ledger.db")
    if request.param == "journal":
        return f"journal://{folder / 'ledger.journal'}"
    server = request.getfixturevalue("postgresql")
    return str(server.create_database(f"queue_{secrets.token_hex(4)}"))
