"""Queues for tests: in empty storages of each kind, and as the dead leave them."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from ablations.ledger import Ledger
from ablations.storages.sqlite import sqlite_url

STORAGES = ("sqlite", "journal", "postgresql", "mysql")
UNREACHABLE = "postgresql://ada@127.0.0.1:1/ablations"


def new_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """An empty storage of the kind that the fixture is parametrised with."""
    if request.param == "sqlite":
        return sqlite_url(folder / "ledger.db")
    if request.param == "journal":
        return f"journal://{folder / 'ledger.journal'}"
    server = request.getfixturevalue({"mysql": "mariadb"}.get(request.param, request.param))
    return str(server.create_database(f"queue_{secrets.token_hex(4)}"))


def pop_without_a_beat(ledger: Ledger) -> FrozenTrial:
    """What a worker leaves that is killed between its claim and its first beat."""
    trial = ledger._look().open_trials(TrialState.WAITING)[0]
    assert ledger._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    return trial
