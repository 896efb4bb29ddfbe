"""What the default grid costs a tracking store: curves, megabytes, seconds to send and to list.

One run of `activation-norm-placement` is trained, narrow so that it is soon over, with the steps,
layers and cadences that its record and curves depend on. All 28 cells x 5 seeds are then given
what it recorded, and sent to a new SQLite store: with the curves of every tap, and with those that
`execution.tracked_taps` has by default.

    python benchmarks/tracking_store.py [--runs 140]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ablations.ledger import Ledger
from ablations.publishing import is_tracked, sync_study
from ablations.run_directory import AttemptDirectory, StudyDirectory
from ablations.storages.sqlite import sqlite_url
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri
from ablations.worker import Worker, WorkerSettings
from studies.diagnostics import TAPS
from studies.execution import ExecutionConfig
from studies.loading import load_study
from studies.plan import Plan
from studies.planning import make_plan
from studies.records import RunRecord

NARROW = (
    "model.d_model=32", "model.context_length=16", "training.batch_size=2",
    "data.evaluation_tokens=64", "diagnostics.probe_tokens=64",
)  # fmt: skip
LISTED = 100
"""Runs that the UI loads at once."""


def train_one(plan: Plan, home: Path) -> tuple[RunRecord, AttemptDirectory]:
    """Train the baseline's first run, and say how it ended and where its curves are."""
    run = next(run for run in plan.runs if run.variant == plan.baseline)
    alone = plan.model_copy(update={"runs": (run,)})
    directory = StudyDirectory(home, plan.study.name)
    directory.save_plan(alone, "")
    Ledger(sqlite_url(directory.ledger_path), plan.study.name).reconcile([run.run_key])
    Worker(WorkerSettings(home, plan.study.name, default_tracking_uri(home))).work()
    record = directory.run(run.run_key).record()
    assert record is not None
    return record, directory.run(run.run_key).attempt(record.attempt)


def fill(plan: Plan, home: Path, record: RunRecord, trained: AttemptDirectory) -> StudyDirectory:
    """Give every run of the plan the record and the curves of the one that was trained."""
    directory = StudyDirectory(home, plan.study.name)
    directory.save_plan(plan, "")
    Ledger(sqlite_url(directory.ledger_path), plan.study.name)
    for run in plan.runs:
        folder = directory.run(run.run_key)
        folder.save_spec(plan.spec(run))
        attempt = folder.attempt(record.attempt)
        attempt.start()
        attempt.metrics_path.write_bytes(trained.metrics_path.read_bytes())
        own = record.model_copy(update={"run_key": run.run_key, "seed": run.seed})
        attempt.save_record(own.as_planned(plan, run))
        folder.publish(own.as_planned(plan, run))
    return directory


def send(plan: Plan, directory: StudyDirectory, taps: Sequence[str], store: Path) -> str:
    """Send all runs to a new store, with the curves of some taps; returns a row of the table."""
    execution = ExecutionConfig(tracked_taps=tuple(taps))
    study = plan.study.model_copy(update={"execution": execution})
    tracking = Tracking(f"sqlite:///{store}")
    started = time.perf_counter()
    sent = sync_study(tracking, plan.model_copy(update={"study": study}), directory)
    seconds = time.perf_counter() - started
    experiment = tracking.client.get_experiment_by_name(plan.study.name)
    started = time.perf_counter()
    tracking.client.search_runs([experiment.experiment_id], "tags.kind = 'run'", max_results=LISTED)
    listing = time.perf_counter() - started
    names = {name for row in _rows(directory, plan) for name in row}
    curves = sum(is_tracked(name, taps) for name in names)
    megabytes = store.stat().st_size / 1e6
    return f"| {curves} | {megabytes:.0f} | {seconds / sent:.2f} | {listing:.2f} |"


def _rows(directory: StudyDirectory, plan: Plan) -> list[dict[str, float]]:
    attempt = directory.run(plan.runs[0].run_key).attempts()[-1]
    return [row.values for row in attempt.read_metrics()]


def main() -> None:
    """Train, send twice and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=140)
    arguments = parser.parse_args()
    whole = make_plan(load_study("activation-norm-placement", NARROW).study)
    plan = whole.model_copy(update={"runs": whole.runs[: arguments.runs]})
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        record, trained = train_one(whole, home / "trained")
        directory = fill(plan, home / "filled", record, trained)
        print(f"{len(plan.runs)} runs of {len(plan.cells)} cells\n")
        print(f"| taps | curves of a run | store, MB | s to send a run | s to list {LISTED} runs |")
        print("|---|---:|---:|---:|---:|")
        for label, taps in {
            "all": tuple(TAPS),
            "default": ExecutionConfig().tracked_taps,
        }.items():
            row = send(plan, directory, taps, home / f"{label}.db")
            print(f"| {label} {row}", flush=True)


if __name__ == "__main__":
    main()
