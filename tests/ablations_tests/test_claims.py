"""The beats of an attempt, whatever becomes of the disk under it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

import ablations.claims
from ablations.claims import Pulse
from ablations.ledger import Ledger
from ablations.storages.sqlite import sqlite_url
from tests.ablations_tests.cluster_study import trials_of
from tests.waiting import wait_until


def pulses(ledger: Ledger) -> list[int]:
    return [Pulse.of(trial.user_attrs).beat for trial in trials_of(ledger)]


def test_beats_go_on_after_the_disk_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations.claims, "BEAT_S", 0.01)
    ledger = Ledger(sqlite_url(tmp_path / "ledger.db"), "study")
    ledger.reconcile(["a"])
    claim = ledger.claim(["a"])
    assert claim is not None
    away: Iterator[None] = iter([None] * 3)

    def saved_step() -> int:
        for _ in away:
            raise OSError(errno.ESTALE, "Stale file handle")
        return 7

    claim.begin(0, saved_step)
    wait_until(lambda: claim.confirmed == 7, "it beats")
    [beat] = pulses(ledger)
    wait_until(lambda: pulses(ledger) != [beat], "it beats on")
    claim.release("the test is over")
