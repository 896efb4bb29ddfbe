"""What an attempt takes over from one that was given up for dead, and may live."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import ablations.attempt
import ablations.claims
import ablations.worker
import lightning_modules.training
from ablations.claims import Failure
from ablations.ledger import owner_prefix
from ablations.tracking_store import NONE
from lightning_modules.checkpoints import Checkpoint
from tests.ablations_tests.tiny_studies import (
    calling_at,
    checkpoints,
    keys_of,
    queue,
    states,
    trials,
    work,
)

ONE_RUN = {"factors": {}, "seeds": 1}


class Crash(BaseException):
    """Stands for kill -9: nothing handles it."""


def crash() -> None:
    raise Crash


@pytest.fixture
def given_up(home, monkeypatch):
    """A study whose one run was given up at a checkpoint, and waits."""
    monkeypatch.setattr(ablations.claims, "BEAT_S", 0.01)
    plan, directory, ledger = queue(home, **ONE_RUN)
    with calling_at(10, crash), pytest.raises(Crash):
        work(directory, NONE)
    ledger.fail_attempts_of(owner_prefix())
    ledger.reconcile(keys_of(plan))
    return plan, directory


@pytest.mark.parametrize("links", [True, False])
def test_an_heir_trains_on_when_the_checkpoint_that_it_goes_on_from_is_removed(
    given_up, monkeypatch, links
):
    plan, directory = given_up
    train_run = lightning_modules.training.train_run
    [old] = checkpoints(directory)

    def after_the_zombie_saved_again(*arguments, **options):
        old.unlink()
        return train_run(*arguments, **options)

    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(lightning_modules.training, "train_run", after_the_zombie_saved_again)
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    work(directory, NONE)
    assert states(plan, directory) == ["completed"]
    step = int(old.stem.removeprefix("step-"))
    assert trials(directory)[1]["pulse"]["began_at"] == step > 0
    assert checkpoints(directory) == []


def test_a_checkpoint_that_is_removed_while_it_is_taken_over_is_looked_for_again(
    given_up, monkeypatch
):
    plan, directory = given_up
    newest = ablations.attempt.newest_checkpoint
    [old] = checkpoints(directory)
    gone = [Checkpoint(old.with_name("step-000000001.ckpt"), 1)]
    monkeypatch.setattr(
        ablations.attempt, "newest_checkpoint", lambda found: gone.pop() if gone else newest(found)
    )
    work(directory, NONE)
    assert states(plan, directory) == ["completed"]
    step = int(old.stem.removeprefix("step-"))
    assert trials(directory)[1]["pulse"]["began_at"] == step


def test_a_worker_whose_failed_attempt_was_given_up_meanwhile_claims_nothing_more(
    home, monkeypatch
):
    """Its device may be broken, whoever has the run by now."""
    plan, directory, ledger = queue(home, **{**ONE_RUN, "seeds": 2})

    def fail_after_a_long_stall(*_: object, **__: object) -> None:
        ledger.fail_attempts_of(owner_prefix())
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lightning_modules.training, "train_run", fail_after_a_long_stall)
    status = work(directory, NONE)
    assert [t.get("kind", "lost") for t in trials(directory)[:2]] == [Failure.LOST, "lost"]
    assert trials(directory)[1]["state"] == "WAITING"
    assert status == ablations.worker.UNFIT
    assert len(list(Path(directory.path).glob("runs/*/attempt-*"))) == 1
    assert states(plan, directory) == ["waiting"] * 2
