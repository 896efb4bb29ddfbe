"""What diagnostics cost: training with the default ones against none, and each one alone.

    python benchmarks/diagnostics.py [--rounds 6] [--steps 400]

Runs of nanoGPT's CPU setting are trained in one process, with and without diagnostics in turns, and
each goes first in every other round, so that the machine's moods hit both. `rare_every_steps` is
that of the full 2,000 steps, so that rare diagnostics look as often as in a real run. Two figures
are printed: `diagnostics/overhead_percent` as the run itself records it, of which at most 3 % are
allowed, and the ratio of the times of all training steps with diagnostics and without, which is no
more exact than equal runs are equal. Then, for each diagnostic alone, the time of one look at the
trained model's size.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from lightning_modules.data.token_store import build_token_store
from lightning_modules.diagnostics.registry import DIAGNOSTICS
from lightning_modules.diagnostics.suite import DiagnosticSuite
from lightning_modules.language_model import LanguageModel
from lightning_modules.schedule import RARE_LOOKS, Cost, Schedule
from lightning_modules.stream import fixed_batches, training_batch
from lightning_modules.training import train_run
from studies.diagnostics import DEFAULT_DIAGNOSTICS
from studies.execution import ExecutionConfig
from studies.metrics import OVERHEAD_PERCENT, TRAINING_TIME_S
from studies.records import NoSink
from studies.run_spec import RunSpec
from studies.schema import DataConfig, DiagnosticsConfig, ModelConfig, TrainingConfig

FULL_STEPS = 2000
LOOKS = 20


def specification(enabled: Sequence[str], steps: int, **model: str) -> RunSpec:
    """The nanoGPT CPU setting: 4 layers, 4 heads, width 128, 12 sequences of 64 tokens."""
    return RunSpec(
        model=ModelConfig(n_layers=4, n_heads=4, d_model=128, context_length=64, **model),
        data=DataConfig(corpus="python-docs"),
        training=TrainingConfig(max_steps=steps, batch_size=12, warmup_steps=10),
        diagnostics=DiagnosticsConfig(
            enabled=tuple(enabled),
            rare_every_steps=FULL_STEPS // RARE_LOOKS,
            evaluate_every_steps=steps,
        ),
        seed=0,
    )


def run(spec: RunSpec, folder: Path) -> dict[str, float]:
    """Summary of a run."""
    return train_run(
        spec,
        execution=ExecutionConfig(accelerator="cpu"),
        cache=folder / "cache",
        directory=folder / "checkpoints",
        resume_from=None,
        sink=NoSink(),
        should_stop=lambda: False,
    ).summary


def compare(rounds: int, steps: int, folder: Path) -> None:
    """Interleaved runs with the default diagnostics and with none; each goes first in turns."""
    ratios, overheads = [], []
    for round_ in range(rounds):
        order = ((), DEFAULT_DIAGNOSTICS) if round_ % 2 == 0 else (DEFAULT_DIAGNOSTICS, ())
        found = {bool(enabled): run(specification(enabled, steps), folder) for enabled in order}
        without, looked = found[False], found[True]
        looking = 1 + looked[OVERHEAD_PERCENT] / 100
        ratios.append(looked[TRAINING_TIME_S] * looking / without[TRAINING_TIME_S])
        overheads.append(looked[OVERHEAD_PERCENT])
        print(
            f"round {round_ + 1}: {1000 * without[TRAINING_TIME_S] / steps:6.2f} ms/step without, "
            f"ratio {ratios[-1]:.3f}, overhead_percent {overheads[-1]:.2f}"
        )
    print(
        f"median of {rounds}: ratio {statistics.median(ratios):.3f}, "
        f"overhead_percent {statistics.median(overheads):.2f}"
    )


def single_looks(spec: RunSpec, folder: Path) -> dict[str, float]:
    """Milliseconds of a look of each diagnostic, and of a training step under `step`."""
    store = build_token_store(spec.data, folder / "cache")
    module = LanguageModel(spec, store.vocabulary_size)
    optimizer = module.configure_optimizers()["optimizer"]
    batch, fixed = training_batch(store, spec, 0), fixed_batches(store, spec)

    def timed(suite: DiagnosticSuite | None) -> tuple[float, float]:
        """Seconds in diagnostics, and in the step around them."""
        started = time.perf_counter()
        module.zero_grad()
        module.training_step(batch, 0).backward()
        before = time.perf_counter()
        if suite:
            suite.before_step(1)
        looked = time.perf_counter() - before
        optimizer.step()
        after = time.perf_counter()
        if suite:
            suite.after_step(1, batch)
            suite.probe(1)
        ended = time.perf_counter()
        return looked + ended - after, after - started - looked

    def suite_of(*names: str) -> DiagnosticSuite:
        every = DiagnosticsConfig(enabled=names, every_steps=dict.fromkeys(names, 1))
        schedule = Schedule.of(spec.model_copy(update={"diagnostics": every}))
        return DiagnosticSuite(every, schedule, module, fixed.probe_BT, fixed.evaluation_BT)

    suites = {name: suite_of(name) for name in DIAGNOSTICS}
    suites["all of cost class probe together"] = suite_of(
        *(name for name, d in DIAGNOSTICS.items() if d.cost is Cost.PROBE)
    )
    times: dict[str, list[float]] = {name: [] for name in ("step", *suites)}
    for suite in suites.values():  # the first look is the reference, and warms up
        suite.probe(0)
        timed(suite)
    for _ in range(LOOKS):
        times["step"].append(timed(None)[1])
        for name, suite in suites.items():
            times[name].append(timed(suite)[0])
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def print_table(name: str, looks: Mapping[str, float], spec: RunSpec) -> None:
    """One row per diagnostic, with its share of training at the default cadence."""
    config = spec.diagnostics
    cadence = {
        Cost.STEP: config.log_every_steps,
        Cost.PROBE: config.probe_every_steps,
        Cost.RARE: FULL_STEPS // RARE_LOOKS,
    }
    print(f"\n{name}: a training step takes {looks['step']:.1f} ms\n")
    print("| diagnostic | cost class | ms per look | in steps | % of training |")
    print("|---|---|---:|---:|---:|")
    for diagnostic, milliseconds in looks.items():
        if diagnostic == "step":
            continue
        cost = DIAGNOSTICS[diagnostic].cost if diagnostic in DIAGNOSTICS else Cost.PROBE
        steps = milliseconds / looks["step"]
        share = 100 * steps / cadence[cost]
        print(f"| {diagnostic} | {cost} | {milliseconds:.1f} | {steps:.2f} | {share:.2f} |")


def main() -> None:
    """Compare, then time single looks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=400)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(specification(DEFAULT_DIAGNOSTICS, 5), folder)
        compare(arguments.rounds, arguments.steps, folder)
        for norm in ("layer", "batch"):
            spec = specification((), arguments.steps, norm=norm)
            print_table(f"{norm} norm", single_looks(spec, folder), spec)


if __name__ == "__main__":
    main()
