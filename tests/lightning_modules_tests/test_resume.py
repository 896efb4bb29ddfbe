"""A run that is killed with -9 at a random step and resumed gives the numbers of a whole one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_modules.checkpoints import newest_checkpoint
from studies.metrics import INITIAL_LOSS
from tests.lightning_modules_tests.tiny_runs import HERE, LSTM, tiny_spec, train, write_text

STEPS = 250
CASES = {
    "batch norm, dropout, accumulation": {
        "model": {"norm": "batch", "dropout": 0.2},
        "training": {"max_steps": STEPS, "accumulate": 2},
    },
    "double precision": {"training": {"max_steps": STEPS, "precision": "64-true"}},
    "a module of one's own with dropout": {"module": LSTM, "training": {"max_steps": STEPS}},
}


def kill_at_a_random_step(spec, folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Complete rows that the run wrote before it was killed."""
    (folder / "spec.json").write_text(spec.model_dump_json())
    rows = folder / "rows.jsonl"
    arguments = [str(folder / "spec.json"), str(folder / "killed"), str(rows)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lightning_modules_tests.killed_run", *arguments],
        cwd=HERE.parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    wanted = random.SystemRandom().randrange(5, 40)
    while not rows.exists() or rows.read_text().count("\n") < wanted:
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lines = rows.read_text().split("\n")[:-1]
    return [(step, values) for step, values in map(json.loads, lines)]


@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_is_bit_identical(tmp_path, case):
    spec = tiny_spec(write_text(tmp_path / "text.txt"), **CASES[case])
    whole, expected = train(spec, tmp_path / "whole")
    before = kill_at_a_random_step(spec, tmp_path)
    checkpoint = newest_checkpoint([tmp_path / "killed"])
    assert checkpoint is not None
    assert 0 < checkpoint.step < STEPS
    resumed, after = train(spec, tmp_path / "resumed", resume_from=checkpoint.path)
    where = f"killed after step {before[-1][0]}, resumed from step {checkpoint.step}"
    for step, values in before:
        assert {n: expected[step][n] for n in values} == values, where
    assert after == {s: row for s, row in expected.items() if s > checkpoint.step}, where
    assert resumed.summary[INITIAL_LOSS] == whole.summary[INITIAL_LOSS]
    assert resumed.digests == whole.digests, where
