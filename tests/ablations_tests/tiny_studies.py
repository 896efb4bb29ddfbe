"""Studies whose runs take seconds, and a worker in this process: shared by the tests of floor 3."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

import ablations.worker
from ablations.ledger import Ledger
from ablations.listing import statuses_of
from ablations.run_directory import AttemptDirectory, StudyDirectory
from ablations.storages.sqlite import sqlite_url
from ablations.tracking_store import default_tracking_uri
from ablations.worker import Worker, WorkerSettings
from studies.loading import load_study
from studies.metrics import OVERHEAD_PERCENT, PEAK_MEMORY_GIB, TOKENS_PER_S, TRAINING_TIME_S
from studies.plan import Plan
from studies.planning import make_plan

STUDY: Mapping[str, Any] = {
    "name": "tiny",
    "question": "Which norm?",
    "model": {"n_layers": 1, "n_heads": 2, "d_model": 16, "context_length": 16},
    "data": {"corpus": "python-docs", "tokenizer": "bytes", "evaluation_tokens": 256},
    "training": {"max_steps": 30, "batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 2},
    "diagnostics": {
        "log_every_steps": 5,
        "evaluate_every_steps": 10,
        "probe_every_steps": 15,
        "probe_tokens": 32,
    },
    "execution": {"checkpoint_every_s": 0, "accelerator": "cpu"},
    "factors": {"model.norm": ["layer", "rms"]},
    "seeds": 2,
}
LONG = {"training": {**STUDY["training"], "max_steps": 300}}
"""Runs of some seconds, long enough to be hit in the middle."""
UNDISTURBED = {**LONG, "execution": {**STUDY["execution"], "checkpoint_every_s": 60}}
"""The same runs in less time, where nothing hits them: a checkpoint takes longer than a step."""
MACHINE_NUMBERS = {OVERHEAD_PERCENT, PEAK_MEMORY_GIB, TOKENS_PER_S, TRAINING_TIME_S}


def fragile_runs(switch: Path) -> dict[str, Any]:
    """Changes that have the study train `fragile_model`, with the file that breaks it."""
    path = Path(__file__).with_name("fragile_model.py")
    return {
        "module": {
            "import_path": f"{path}:FragileModel",
            "arguments": {"switch": str(switch)},
        },
        "diagnostics": {**STUDY["diagnostics"], "enabled": []},
        "factors": {},
    }


def write_study(folder: Path, **changes: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **changes}))
    return path


def queue(home: Path, **changes: Any) -> tuple[Plan, StudyDirectory, Ledger]:
    """A planned study with its runs waiting."""
    plan = make_plan(load_study(str(write_study(home, **changes))).study)
    directory = StudyDirectory(home, plan.study.name)
    directory.save_plan(plan, (home / "study.yaml").read_text())
    ledger = Ledger(sqlite_url(directory.ledger_path), plan.study.name)
    ledger.reconcile(keys_of(plan))
    return plan, directory, ledger


def work(directory: StudyDirectory, uri: str | None = None) -> int:
    """Let a worker in this process train what waits; returns its exit status."""
    home = directory.path.parent
    uri = uri or default_tracking_uri(home)
    return run(Worker(WorkerSettings(home, directory.study, uri)))


def run(worker: Worker) -> int:
    """`Worker.work` without its traces on this process, nor its wait for more work."""
    handlers = {name: signal.getsignal(name) for name in ablations.worker.STOP_SIGNALS}
    threads, idle_s = torch.get_num_threads(), ablations.worker.IDLE_S
    ablations.worker.IDLE_S = 0.25  # less than its pause; a busy machine may stand still for 0.05
    try:
        return worker.work()
    finally:
        ablations.worker.IDLE_S = idle_s
        torch.set_num_threads(threads)
        for name, handler in handlers.items():
            signal.signal(name, handler)


def keys_of(plan: Plan) -> list[str]:
    return [run.run_key for run in plan.runs]


def states(plan: Plan, directory: StudyDirectory) -> list[str]:
    """States of the plan's runs by the ledger, sorted."""
    return sorted(status.state.value for status in statuses_of(plan, directory).values())


def numbers(plan: Plan, directory: StudyDirectory) -> dict[str, Any]:
    """What each run measured: outcome, scalars and history, without times and memory."""
    return {key: numbers_of(directory, key) for key in keys_of(plan)}


def numbers_of(directory: StudyDirectory, key: str) -> Any:
    import pandas as pd

    run = directory.run(key)
    record = run.record()
    assert record is not None, f"run {key} has no record"
    history = pd.read_parquet(run.history_path).values.tolist()
    summary = {k: v for k, v in record.summary.items() if k not in MACHINE_NUMBERS}
    rows = [row for row in history if row[0] not in MACHINE_NUMBERS]
    return record.outcome.value, summary | record.digests, rows


def checkpoints(directory: StudyDirectory) -> list[Path]:
    return sorted(directory.path.glob("runs/*/attempt-*/step-*.ckpt"))


def trials(directory: StudyDirectory) -> list[Mapping[str, Any]]:
    """Every attempt in the ledger: its number, state and attributes."""
    import optuna

    found = optuna.load_study(
        study_name=directory.study, storage=sqlite_url(directory.ledger_path)
    ).trials
    return [{"number": t.number, "state": t.state.name, **t.user_attrs} for t in found]


@contextmanager
def calling_at(step: int, act: Callable[[], None]) -> Iterator[None]:
    """Call something once, after the worker in this process recorded a step of any run."""
    from ablations.metrics_file import MetricsFile

    write, called = MetricsFile.write, []

    def watched(self: MetricsFile, at: int, values: Mapping[str, float]) -> None:
        write(self, at, values)
        if at >= step and not called:
            called.append(at)
            act()

    MetricsFile.write = watched  # type: ignore[method-assign]
    try:
        yield
    finally:
        MetricsFile.write = write  # type: ignore[method-assign]


def backdate(attempt: AttemptDirectory, seconds: float) -> None:
    """Have an attempt begun so long before it last wrote something; make it, if need be."""
    if not attempt.definitions_path.exists():
        attempt.start()
        attempt.save_definitions({})
    started = attempt.definitions_path.stat().st_mtime - seconds
    os.utime(attempt.definitions_path, (started, started))


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]
