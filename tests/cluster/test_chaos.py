"""A study on a cluster while its parts are killed; `chaos.py` by hand does the same for longer."""

from __future__ import annotations

import pytest

from tests.cluster import postgresql, slurm
from tests.cluster.chaos import endure
from tests.cluster.disturbed_study import STUDY

FAULTS = ("kill_training", "stop_database", "kill_worker", "kill_server", "crash_node")


@pytest.mark.skipif(postgresql.missing() is not None, reason=str(postgresql.missing()))
@pytest.mark.skipif(slurm.missing() is not None, reason=str(slurm.missing()))
def test_every_run_ends_once_with_its_numbers_whatever_is_killed():
    chaos, findings = endure(FAULTS, every_s=5, seed=0, study=STUDY, limit_s=420)
    assert findings.problems == []
    assert findings.attempts["COMPLETE"] == 20
    assert chaos.done == dict.fromkeys(FAULTS, 1)
