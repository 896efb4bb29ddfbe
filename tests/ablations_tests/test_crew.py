"""What a crew does when the queue is away for longer than anybody waits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ablations.crew import MAX_DEATHS, Crew
from studies.errors import AblationError


class Launcher:
    """One worker that dies each time that somebody looks."""

    most, log_folder = 1, "logs"

    def __init__(self, status):
        self.status, self.workers = status, []

    def reap(self):
        process = SimpleNamespace(returncode=self.status, pid=1)
        return [SimpleNamespace(process=process, obituary=lambda: "it died")]

    def stop(self, timeout_s):
        return self.reap()


class Ledger:
    def __init__(self):
        self.is_away = True

    def fail_attempts_of(self, *_):
        if self.is_away:
            raise ConnectionError("refused")
        return 0


def test_workers_that_die_while_the_queue_is_away_are_replaced_and_not_held_against_the_crew(
    caplog,
):
    ledger = Ledger()
    crew = Crew(Launcher(1), ledger, "tiny")
    for _ in range(2 * MAX_DEATHS):
        assert crew.reap() == [1]
    crew.stop(0)
    assert "the queue does not answer (refused): what it trained is given up" in caplog.text
    ledger.is_away = False
    for _ in range(MAX_DEATHS - 1):
        assert crew.reap() == [1]
    with pytest.raises(AblationError, match="die again and again"):
        crew.reap()
