"""Following a study while parts of it are away."""

from __future__ import annotations

import threading
from dataclasses import replace

import ablations.watching
from ablations.keeper import StudyKeeper
from ablations.watching import watch
from tests.ablations_tests.queue_storages import pop_without_a_beat
from tests.ablations_tests.tiny_studies import keys_of, queue, states


def unpublished() -> None:
    raise AssertionError("there is no fleet")


def test_whoever_watches_outlives_a_queue_that_is_away(finished, monkeypatch, caplog):
    keep, progress, tries = StudyKeeper.keep, StudyKeeper.progress, []

    def away_at_first(keeper):
        tries.append("keep")
        if len(tries) < 3:
            raise ConnectionError("refused")
        return keep(keeper)

    def over_once_kept(keeper):
        found = progress(keeper)
        return found if len(tries) > 2 else replace(found, is_searching=True)

    monkeypatch.setattr(ablations.watching, "_fleet_or_none", lambda *_: object())
    monkeypatch.setattr(ablations.watching, "WATCH_S", 0.01)
    monkeypatch.setattr(ablations.watching, "KEEP_S", 0.0)
    monkeypatch.setattr(StudyKeeper, "keep", away_at_first)
    monkeypatch.setattr(StudyKeeper, "progress", over_once_kept)
    assert watch(finished.directory, None, lambda: tries.append("published")) == 0
    assert (
        "the queue does not answer (refused): nobody is given up or placed for now" in caplog.text
    )
    assert tries == ["keep"] * 3 + ["published"]


def test_whoever_watches_a_cancelled_study_is_let_go_once_nobody_trains(home, monkeypatch, capsys):
    plan, directory, ledger = queue(home)
    claim = ledger.claim(keys_of(plan))
    ledger.cancel()
    monkeypatch.setattr(ablations.watching, "WATCH_S", 0.2)
    release = threading.Timer(1.0, claim.release, ["asked to end"])
    release.start()
    assert watch(directory, None, unpublished) == 130
    assert not release.is_alive()
    assert "cancelled: `ablate run` goes on with it" in capsys.readouterr().out


def test_whoever_watches_gives_up_the_dead_where_there_is_no_fleet(home, monkeypatch):
    plan, directory, ledger = queue(home, factors={}, seeds=[1])
    pop_without_a_beat(ledger)
    ledger.cancel()  # or else it would wait for a worker
    monkeypatch.setattr(ablations.watching, "WATCH_S", 0.2)
    monkeypatch.setattr(ablations.watching, "KEEP_S", 0.0)
    monkeypatch.setattr(ledger, "_grace_s", 1.0)
    monkeypatch.setattr(ablations.watching, "ledger_of", lambda *_: ledger)
    assert watch(directory, None, unpublished) == 130
    assert states(plan, directory) == ["waiting"]
