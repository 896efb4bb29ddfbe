"""The beats of an attempt, whatever becomes of the disk under it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

import ablations.claims
from ablations.claims import Claim, Pulse
from ablations.ledger import Ledger
from ablations.storages.sqlite import sqlite_url
from tests.ablations_tests.cluster_study import trials_of
from tests.waiting import wait_until


def claimed(folder: Path) -> tuple[Ledger, Claim]:
    """A queue of one run, and an attempt at it."""
    ledger = Ledger(sqlite_url(folder / "ledger.db"), "study")
    ledger.reconcile(["a"])
    claim = ledger.claim(["a"])
    assert claim is not None
    return ledger, claim


def last_pulse(ledger: Ledger) -> Pulse:
    [trial] = trials_of(ledger)
    return Pulse.of(trial.user_attrs)


def test_an_attempt_tells_at_once_where_it_begins_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations.claims, "BEAT_S", 3600.0)
    ledger, claim = claimed(tmp_path)
    wait_until(lambda: last_pulse(ledger).beat == 1, "it beats")
    claim.begin(5, lambda: 5)
    wait_until(lambda: last_pulse(ledger).began_at == 5, "it is told")
    claim.release("the test is over")


def test_beats_go_on_after_the_disk_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations.claims, "BEAT_S", 0.01)
    ledger, claim = claimed(tmp_path)
    away: Iterator[None] = iter([None] * 3)

    def saved_step() -> int:
        for _ in away:
            raise OSError(errno.ESTALE, "Stale file handle")
        return 7

    claim.begin(0, saved_step)
    wait_until(lambda: claim.confirmed == 7, "it beats")
    beat = last_pulse(ledger).beat
    wait_until(lambda: last_pulse(ledger).beat > beat, "it beats on")
    claim.release("the test is over")
