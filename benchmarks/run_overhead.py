"""Time that a worker spends on a run outside training: claiming, building, recording, tracking.

One worker in this process trains short runs of the quickstart study, tracked in a SQLite store:

    python benchmarks/run_overhead.py [--runs 24] [--steps 60]

The figure is the wall time of the worker, from its first claim until everything is sent, less the
training steps and their diagnostics, over the number of runs; evaluations count as overhead here.
Imports and the creation of the databases are paid once per worker, by a first run that is not
counted. At most 0.5 s is expected.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import ablations.worker
from ablations.ledger import Ledger
from ablations.run_directory import StudyDirectory
from ablations.storages.sqlite import sqlite_url
from ablations.tracking_store import default_tracking_uri
from ablations.worker import Worker, WorkerSettings
from studies.loading import load_study
from studies.metrics import OVERHEAD_PERCENT, TRAINING_TIME_S
from studies.plan import Plan
from studies.planning import make_plan


def quickstart_plan(steps: int, runs: int) -> Plan:
    """The first runs of the quickstart study, shortened."""
    plan = make_plan(load_study("quickstart", [f"training.max_steps={steps}"]).study)
    return plan.model_copy(update={"runs": plan.runs[:runs]})


def work(plan: Plan, home: Path) -> float:
    """Let a worker train a plan to its end; returns its wall time in seconds."""
    directory = StudyDirectory(home, plan.study.name)
    directory.save_plan(plan, "")
    ledger = Ledger(sqlite_url(directory.ledger_path), plan.study.name)
    ledger.reconcile(run.run_key for run in plan.runs)
    worker = Worker(WorkerSettings(home, plan.study.name, default_tracking_uri(home)))
    started = time.perf_counter()
    worker.work()
    return time.perf_counter() - started


def training_s(plan: Plan, home: Path) -> float:
    """Seconds that the runs of a plan spent in training steps and their diagnostics."""
    directory = StudyDirectory(home, plan.study.name)
    total = 0.0
    for run in plan.runs:
        record = directory.run(run.run_key).record()
        assert record is not None
        share = 1 + record.summary[OVERHEAD_PERCENT] / 100
        total += record.summary[TRAINING_TIME_S] * share
    return total


def main() -> None:
    """Train and print seconds per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    ablations.worker.IDLE_S = 0.05  # a worker's wait for more work is not a cost of a run
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        whole = quickstart_plan(arguments.steps, arguments.runs + 1)
        work(whole.model_copy(update={"runs": whole.runs[:1]}), home)
        plan = whole.model_copy(update={"runs": whole.runs[1:]})
        wall_s = work(plan, home)
        trained_s = training_s(plan, home)
    runs = len(plan.runs)
    print(f"{runs} runs of {arguments.steps} steps: {wall_s:.1f} s, training {trained_s:.1f} s")
    print(f"outside training: {(wall_s - trained_s) / runs:.3f} s per run")


if __name__ == "__main__":
    main()
