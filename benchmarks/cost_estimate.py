"""How far the estimate of `ablate plan --cost` is from what a study then takes.

    python benchmarks/cost_estimate.py [--rounds 3] [--workers 2] [--set training.max_steps=200]

In every round the paces of the study's variants are measured anew, then it is run, tracked and with
all its diagnostics, by workers side by side. Two ratios of estimate to reality are printed: of the
time that workers were busy with runs, and of the wall time from the start of the first worker to
the end of the last run. Pre-flight and the sending of what the tracking store lacks are no part of
either. Both are as exact as the machine is quiet.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from ablations.cost import BETWEEN_RUNS_S, HOUR_S
from ablations.driver import Driver, RunSettings
from ablations.run_directory import StudyDirectory
from ablations.spending import costing_of
from ablations.tracking_store import default_tracking_uri
from studies.loading import load_study
from studies.plan import Plan
from studies.planning import make_plan

EVERY_PART = ["factors.model.placement=[pre]", "factors.model.activation=[gelu, swiglu]"]
"""What the quickstart study is cut down to: eight variants."""


def busy_s(plan: Plan, directory: StudyDirectory) -> float:
    """Seconds that workers spent on runs and between them."""
    records = [directory.run(run.run_key).record() for run in plan.runs]
    return sum(record.wall_time_s + BETWEEN_RUNS_S for record in records if record)


def compare(plan: Plan, home: Path, workers: int) -> tuple[float, float]:
    """Ratios of estimate to reality: of busy time, of wall time."""
    shutil.rmtree(home / "cache" / "paces", ignore_errors=True)
    started = time.perf_counter()
    costing = costing_of(plan, home, workers=workers, retry_failed=False)
    estimate = costing.estimate(lambda _: None)
    assert estimate is not None
    measured_s = time.perf_counter() - started

    directory = StudyDirectory(home, plan.study.name)
    directory.save_plan(plan, "")
    driver = Driver(plan, RunSettings(home, default_tracking_uri(home), workers))
    started = time.perf_counter()
    driver.run(lambda progress: None)
    wall_s = time.perf_counter() - started
    ratios = (
        estimate.device_hours * HOUR_S / busy_s(plan, directory),
        estimate.wall_s / wall_s,
    )
    print(
        f"{len(plan.cells)} variants measured in {measured_s:.0f} s; {len(plan.runs)} runs took "
        f"{wall_s:.0f} s; ratio of busy time {ratios[0]:.2f}, of wall time {ratios[1]:.2f}"
    )
    return ratios


def main() -> None:
    """Estimate and run in turns, and print the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for number in range(arguments.rounds):
            settings = [*EVERY_PART, *arguments.set, f"name=round-{number}"]
            plan = make_plan(load_study("quickstart", settings).study)
            found.append(compare(plan, Path(folder), arguments.workers))
    busy, wall = (statistics.median(ratios) for ratios in zip(*found, strict=True))
    print(f"median of {arguments.rounds}: busy time {busy:.2f}, wall time {wall:.2f}")


if __name__ == "__main__":
    main()
