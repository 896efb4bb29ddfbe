"""Throughput of a tracked, diagnosed run against a plain PyTorch loop over the same model.

Both train nanoGPT's CPU setting in one process, in turns, so that the machine's moods hit both:

    python benchmarks/step_overhead.py [--rounds 5] [--steps 60]

The tracked run is `train_run` as a worker calls it, with the default cadences and a sink that
writes to a file; its figure is the wall time of all its steps, evaluations left out as in the
plain loop, diagnostics and recording included. Prints the ratio; at least 0.9 is expected.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from lightning_modules.data.batches import train_batch
from lightning_modules.data.token_store import TokenStore, build_token_store
from lightning_modules.language_model import LanguageModel, next_token_loss
from lightning_modules.training import train_run
from studies.execution import ExecutionConfig
from studies.metrics import OVERHEAD_PERCENT, STEPS, TOKENS_PER_S, TRAINING_TIME_S
from studies.run_spec import RunSpec
from studies.schema import DataConfig, DiagnosticsConfig, ModelConfig, TrainingConfig


class FileSink:
    """Appends every record to a file, as a run directory does."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One line of JSON."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")

    def keep(self) -> bool:
        """Lines are kept at once."""
        return True


def specification(steps: int) -> RunSpec:
    """The nanoGPT CPU setting: 4 layers, 4 heads, width 128, 12 sequences of 64 tokens."""
    return RunSpec(
        model=ModelConfig(n_layers=4, n_heads=4, d_model=128, context_length=64),
        data=DataConfig(corpus="python-docs"),
        training=TrainingConfig(max_steps=steps, batch_size=12),
        diagnostics=DiagnosticsConfig(),
        seed=0,
    )


def plain_tokens_per_s(spec: RunSpec, store: TokenStore) -> float:
    """A loop as one would write it by hand."""
    module = LanguageModel(spec, store.vocabulary_size)
    configured = module.configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    clip = spec.training.gradient_clip_norm or float("inf")
    started = time.perf_counter()
    for step in range(spec.training.max_steps):
        batch = train_batch(
            store,
            context_length=spec.model.context_length,
            batch_size=spec.training.batch_size,
            seed=spec.seed,
            step=step,
        )
        optimizer.zero_grad()
        next_token_loss(module.model, batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.model.parameters(), clip)
        optimizer.step()
        scheduler.step()
    return _tokens(spec) / (time.perf_counter() - started)


def tracked_run(spec: RunSpec, directory: Path) -> dict[str, float]:
    """Summary of a run as a worker trains it."""
    return train_run(
        spec,
        execution=ExecutionConfig(accelerator="cpu"),
        cache=directory / "cache",
        directory=directory / "checkpoints",
        resume_from=None,
        sink=FileSink(directory / "metrics.jsonl"),
        should_stop=lambda: False,
    ).summary


def _tokens(spec: RunSpec) -> int:
    return spec.training.max_steps * spec.training.batch_size * spec.model.context_length


def main() -> None:
    """Run both in turns and print the ratio of their throughputs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spec = specification(arguments.steps)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        store = build_token_store(spec.data, directory / "cache")
        warm_up = specification(5)
        plain_tokens_per_s(warm_up, store)
        tracked_run(warm_up, directory)
        ratios = []
        for round_ in range(arguments.rounds):
            plain = plain_tokens_per_s(spec, store)
            summary = tracked_run(spec, directory)
            assert summary[STEPS] == spec.training.max_steps
            # Diagnostics count against the run: that is what is asked.
            share = 1 + summary[OVERHEAD_PERCENT] / 100
            tracked = _tokens(spec) / (summary[TRAINING_TIME_S] * share)
            ratios.append(tracked / plain)
            print(
                f"round {round_ + 1}: plain {plain:8.0f} tokens/s, tracked {tracked:8.0f} "
                f"(without diagnostics {summary[TOKENS_PER_S]:8.0f}), ratio {ratios[-1]:.3f}"
            )
    print(f"ratio, median of {arguments.rounds}: {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
