"""Runs that take a fraction of a second: shared by the tests of training."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning_modules.training import train_run
from studies.execution import ExecutionConfig
from studies.records import RunResult
from studies.run_spec import RunSpec
from studies.schema import CustomModule, DataConfig, DiagnosticsConfig, ModelConfig, TrainingConfig

HERE = Path(__file__).parent
LSTM = CustomModule(import_path=f"{HERE}/lstm_language_model.py:LSTMLanguageModel")


class RowsSink:
    """Keeps what a run writes, by step."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.rows.setdefault(step, {}).update(values)

    def keep(self) -> bool:
        return True


def write_text(path: Path) -> Path:
    """A text with some order in it, so that it can be learnt."""
    generator = random.Random(0)
    words = ["the", "model", "norm", "loss", "seed", "step", "and", "of"]
    path.write_text(" ".join(generator.choice(words) for _ in range(4000)))
    return path


def tiny_spec(
    corpus: Path,
    *,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    diagnostics: Mapping[str, Any] | None = None,
    module: CustomModule | None = None,
    seed: int = 0,
) -> RunSpec:
    sizes = {"n_layers": 2, "n_heads": 2, "d_model": 16, "context_length": 8}
    budget = {"max_steps": 12, "batch_size": 4, "warmup_steps": 2, "learning_rate": 3e-3}
    cadence = {
        "log_every_steps": 4,
        "evaluate_every_steps": 5,
        "probe_every_steps": 6,
        "probe_tokens": 32,
    }
    return RunSpec(
        model=ModelConfig(**{**sizes, **(model or {})}),
        data=DataConfig(corpus=str(corpus), tokenizer="characters", evaluation_tokens=64),
        training=TrainingConfig(**{**budget, **(training or {})}),
        diagnostics=DiagnosticsConfig(**{**cadence, **(diagnostics or {})}),
        module=module,
        seed=seed,
    )


def train(
    spec: RunSpec,
    directory: Path,
    *,
    sink: Any = None,
    resume_from: Path | None = None,
    checkpoint_every_s: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[RunResult, dict[int, dict[str, float]]]:
    """Result and rows of a run; its tokens are cached beside its corpus."""
    sink = sink or RowsSink()
    result = train_run(
        spec,
        execution=ExecutionConfig(accelerator="cpu", checkpoint_every_s=checkpoint_every_s),
        cache=Path(spec.data.corpus).parent / "cache",
        directory=directory,
        resume_from=resume_from,
        sink=sink,
        should_stop=should_stop,
    )
    return result, getattr(sink, "rows", {})
