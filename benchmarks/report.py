"""What a report costs: seconds, CPU seconds, memory and bytes of its page, by the number of runs.

Synthetic studies are written as `ablate run` leaves them, of 60 curves of 100 points for each run,
and `ablate report` is run on each with its default options:

    python benchmarks/report.py [--sizes 28x36 28x357 196x51] [--keep FOLDER]

Sizes are cells x seeds: of the default grid of 28 cells, or of that grid at 7 weight decays. One
run in 25 diverged. Curves are those of 4 blocks: four of the whole model, and 56 of layers, in
ten families at the residual stream, at the hidden activation or by block. CPU time and memory are
those of all processes of the command; memory is the largest sum of their proportional shares,
looked at every 0.1 s (Linux). At most 60 s and 4 GB are expected of 1,000 runs on 2 cores, and at
most the same time per run of 10,000; and a page of at most 10 MB of 28 cells x 5 seeds.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ablations.run_directory import StudyDirectory
from lightning_modules.diagnostics.suite import definitions_of
from studies import metrics as names
from studies.diagnostics import DIAGNOSTICS
from studies.digests import EVALUATION_DATA
from studies.loading import load_study
from studies.metrics import METRICS, series_name
from studies.plan import Plan, PlannedRun
from studies.planning import make_plan
from studies.records import Leak, Outcome, RunRecord

SIZES = ("4x3", "28x5", "28x36", "28x357", "196x51")
GRID_CELLS = 28
DECAYS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Levels of the factor that makes seven grids of one."""
LAYERS = 4
POINTS = 100
DIVERGES = 25
"""One in so many runs diverges."""
BY_BLOCK = (
    "gradient_norm", "update_ratio", "dead_units", "hidden_zeros", "attention_max_logit",
    "attention_entropy",
)  # fmt: skip
AT_TAPS = {
    "residual": (
        "activation_rms", "activation_rms_change", "activation_drift", "activation_kurtosis",
    ),
    "hidden": ("activation_rms", "activation_drift", "activation_kurtosis"),
}  # fmt: skip
WHOLE = (names.VALIDATION_LOSS, names.TRAIN_LOSS, names.LEARNING_RATE, "gradient_norm/total")
SAMPLE_S = 0.1


class Cost(NamedTuple):
    """What a command took."""

    wall_s: float
    cpu_s: float
    peak_gb: float


def planned(cells: int, seeds: int) -> Plan:
    """The default grid with so many seeds, a corner of it, or several of it.

    Raises:
        SystemExit: there is no such grid.
    """
    factors: dict[str, list[object]] = {
        "model.activation": ["gelu", "relu", "silu", "swiglu"],
        "model.norm": ["layer", "batch", "group", "none"],
        "model.placement": ["pre", "post"],
        "training.weight_decay": list(DECAYS),
    }
    if cells <= GRID_CELLS:
        del factors["training.weight_decay"]
    if cells < GRID_CELLS:
        factors = {"model.activation": ["gelu", "relu"], "model.norm": ["layer", "rms"]}
    baseline = {key: levels[0] for key, levels in factors.items()}
    settings = {"factors": factors, "report.baseline": baseline, "seeds": seeds}
    texts = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    plan = make_plan(load_study("activation-norm-placement", texts).study)
    if len(plan.cells) != cells:
        raise SystemExit(f"no grid of {cells} cells; one of this kind has {len(plan.cells)}")
    return plan


def write_study(home: Path, plan: Plan) -> None:
    """What `ablate run` leaves of a study, of numbers that are drawn and not trained."""
    directory = StudyDirectory(home, plan.study.name)
    directory.save_plan(plan, "")
    places = {cell.variant: place for place, cell in enumerate(plan.cells)}
    for number, run in enumerate(plan.runs):
        died = number % DIVERGES == DIVERGES - 1
        random = np.random.default_rng(number)
        loss = 2 + 0.03 * places[run.variant] % 0.2 + 0.01 * float(random.normal())
        folder = directory.run(run.run_key)
        folder.attempt(0).path.mkdir(parents=True)
        folder.record_path.write_text(
            record(plan, run, loss, died=died).model_dump_json(indent=1), encoding="utf-8"
        )
        norm = plan.cell(run.variant).configuration["model"]["norm"]
        curves = table(loss, random, POINTS // 2 if died else POINTS, bare=norm == "none")
        pq.write_table(curves, folder.history_path)


def record(plan: Plan, run: PlannedRun, loss: float, *, died: bool) -> RunRecord:
    """How a run ended, with all that a record of training has."""
    cell = plan.cell(run.variant)
    steps = plan.study.training.max_steps
    summary = {
        names.PARAMETERS: float(cell.parameters or 0), names.INITIAL_LOSS: 5.6,
        names.FLOPS_PER_TOKEN: cell.flops_per_token or 0.0, names.LAST_TRAIN_LOSS: loss,
        names.TOKENS_PER_S: 40_000 + 1000 * loss, names.TRAINING_TIME_S: 30 + loss,
        names.LOSS_SPIKES: 0.0, names.OVERHEAD_PERCENT: 5.0,
    }  # fmt: skip
    if died:
        summary |= {names.DIVERGED_AT_STEP: steps / 2, names.STEPS: steps / 2}
    else:
        summary |= {
            names.FINAL_LOSS: loss, names.EARLY_LOSS: loss + 1, names.TRAIN_SET_LOSS: loss - 0.1,
            names.GENERALIZATION_GAP: 0.1, names.STEPS: float(steps),
        }  # fmt: skip
    of_data = {f"{1 << k}": f"{run.seed:08x}{k:08x}" for k in range(11)}
    of_values = {f"model.blocks.{k // 8}.{k % 8}.weight": f"8x8:{run.seed:016x}" for k in range(36)}
    return RunRecord(
        run_key=run.run_key, study=plan.study.name, variant=run.variant, seed=run.seed,
        levels=cell.levels, attempt=0, outcome=Outcome.DIVERGED if died else Outcome.COMPLETED,
        leak=Leak.CAUSAL, summary=summary, wall_time_s=33.0,
        facts={"device": "cpu", "initialization": "fan_in", "target_loss": 2.1},
        definitions=METRICS | definitions_of(DIAGNOSTICS),
        digests={
            EVALUATION_DATA: "0123456789abcdef",
            **{f"training_data/{steps}": value for steps, value in of_data.items()},
            **{f"parameter/{name}": value for name, value in of_values.items()},
        },
        provenance={"git": {"commit": "0123abcd", "dirty": False}, "python": "3.11.9",
                    "packages": {"torch": "2.13.0"}, "host": "node-1", "cpus": 16},
    )  # fmt: skip


def table(loss: float, random: np.random.Generator, points: int, *, bare: bool) -> pa.Table:
    """The curves of a run (60 x points rows), step by step; some grow where it has no norm."""
    series = [
        *WHOLE,
        *(series_name(name, "block", layer) for name in BY_BLOCK for layer in range(LAYERS)),
        *(
            series_name(name, tap, layer)
            for tap, families in AT_TAPS.items()
            for name in families
            for layer in range(LAYERS + (tap == "residual"))
        ),
    ]
    steps = np.arange(points) * 20
    done = steps / (20 * POINTS)
    values = np.exp(random.normal(0, 0.2, (points, len(series)))) * (1 + done[:, None])
    values *= 10.0 if bare else 1.0
    values[:, :2] = loss + 3 * np.exp(-8 * done[:, None]) + random.normal(0, 0.01, (points, 2))
    return pa.table(
        {
            "metric": pa.array(np.tile(np.array(series, dtype=object), points), pa.string()),
            "step": pa.array(np.repeat(steps, len(series)), pa.int64()),
            "value": pa.array(values.ravel(), pa.float64()),
        }
    )


def run(command: list[str]) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: it failed.
    """
    started = time.perf_counter()
    before = spent_s()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(share_bytes, family(os.getpid()))) - share_bytes(os.getpid()))
        time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    wall_s = time.perf_counter() - started
    with contextlib.suppress(ChildProcessError):
        while True:  # what it left behind ends by itself, and is counted once it has
            os.wait()
    return Cost(wall_s, spent_s() - before, peak / 1e9)


def adopt_orphans() -> None:
    """Make this process the parent of all whose parents end, so that their time is counted."""
    set_child_subreaper = 36  # of linux/prctl.h
    ctypes.CDLL(None).prctl(set_child_subreaper, 1)


def spent_s() -> float:
    """CPU seconds of all children that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def family(process: int) -> Iterator[int]:
    """A process and all that it and its children started, as far as they live."""
    yield process
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                yield from family(int(child))


def share_bytes(process: int) -> int:
    """Memory of a process; what it shares with others counts in parts. 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def measure(home: Path, size: str) -> str:
    """Write a study, report it, and say what that took: a row of the table."""
    cells, _, seeds = size.partition("x")
    plan = planned(int(cells), int(seeds))
    folder = home / size
    if not folder.exists():
        write_study(folder, plan)
    output = folder / "report"
    command = [sys.executable, "-m", "ablations.cli", "report", plan.study.name]
    cost = run([*command, "--home", str(folder), "--output", str(output), "--no-log"])
    runs, page = len(plan.runs), (output / "report.html").stat().st_size
    return (
        f"| {cells} x {seeds} | {runs:,} | {cost.wall_s:.0f} | {cost.cpu_s:.0f} "
        f"| {1000 * cost.cpu_s / runs:.0f} | {cost.peak_gb:.1f} | {page / 1e6:.1f} |"
    )


def main() -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--keep", type=Path, help="folder for the studies, which are kept there")
    arguments = parser.parse_args()
    adopt_orphans()
    print("| cells x seeds | runs | s | CPU s | CPU ms a run | memory, GB | page, MB |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            print(measure(arguments.keep or Path(folder), size), flush=True)


if __name__ == "__main__":
    main()
