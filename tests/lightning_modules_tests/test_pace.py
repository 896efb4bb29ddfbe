"""Rehearsals: by a clock that only work moves, the pace of a run is what the run takes."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from lightning_modules.checkpoints import list_checkpoints
from lightning_modules.pace import measure_pace
from lightning_modules.training import train_run
from studies.errors import AblationError
from studies.execution import ExecutionConfig
from studies.pace import Pace
from studies.schema import CustomModule
from tests.lightning_modules_tests.ticking_model import WATCH
from tests.lightning_modules_tests.tiny_runs import RowsSink, tiny_spec, write_text

TICKING = CustomModule(import_path="tests.lightning_modules_tests.ticking_model:TickingModel")
LOOKING = {"enabled": ("gradient_norms", "activation_scale", "activation_drift")}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


@pytest.fixture
def watch(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", WATCH)
    return WATCH


def pace_of(spec, folder: Path, **execution) -> Pace:
    return measure_pace(
        spec,
        execution=ExecutionConfig(accelerator="cpu", **execution),
        cache=Path(spec.data.corpus).parent / "cache",
        directory=folder,
    )


def real_s(spec, folder: Path, watch) -> float:
    before_s = watch.now_s
    train_run(
        spec,
        execution=ExecutionConfig(accelerator="cpu"),
        cache=Path(spec.data.corpus).parent / "cache",
        directory=folder,
        resume_from=None,
        sink=RowsSink(),
        should_stop=lambda: False,
    )
    return watch.now_s - before_s


@pytest.mark.parametrize(
    ("training", "diagnostics"),
    [
        ({}, {"enabled": ()}),
        ({}, LOOKING),
        ({"max_steps": 40}, {**LOOKING, "every_steps": {"activation_drift": 7}}),
        ({"max_steps": 1, "warmup_steps": 0}, LOOKING),
        ({"accumulate": 2}, LOOKING),
        ({"learning_rate": 1e9}, {"enabled": ()}),
    ],
)
def test_the_pace_of_a_run_is_what_it_takes(corpus, tmp_path, watch, training, diagnostics):
    spec = tiny_spec(corpus, training=training, diagnostics=diagnostics, module=TICKING)
    pace = pace_of(spec, tmp_path / "rehearsal")
    assert pace.run_s == pytest.approx(real_s(spec, tmp_path / "run", watch))
    assert pace.part_s("step") == spec.training.max_steps * spec.training.batch_size / 4
    assert pace.device == "cpu"


def test_looks_and_evaluations_are_told_apart(corpus, tmp_path, watch):
    spec = tiny_spec(corpus, diagnostics=LOOKING, module=TICKING)
    pace = pace_of(spec, tmp_path)
    sequences = {"evaluation": 64 // 8, "look": 32 // 8}
    evaluations = 4 + 2  # at steps 2, 5, 10 and 12; at the start, and of the training text
    assert pace.part_s("evaluation") == pytest.approx(evaluations * sequences["evaluation"] / 16)
    assert pace.part_s("look") == pytest.approx(2 * sequences["look"] / 16)  # at steps 6 and 12


def test_a_large_evaluation_set_is_not_read_in_full(corpus, tmp_path, watch):
    spec = tiny_spec(corpus, diagnostics={"enabled": ()}, module=TICKING)
    data = spec.data.model_copy(update={"evaluation_tokens": 1800})
    spec = spec.model_copy(update={"data": data})
    before_s = watch.now_s
    pace = pace_of(spec, tmp_path / "rehearsal")
    assert pace.part_s("evaluation") > watch.now_s - before_s
    assert pace.run_s == pytest.approx(real_s(spec, tmp_path / "run", watch))


def test_a_run_on_two_devices_is_half_a_batch_on_one(corpus, tmp_path, watch):
    spec = tiny_spec(corpus, diagnostics={"enabled": ()}, module=TICKING)
    pace = pace_of(spec, tmp_path, devices=2, strategy="ddp")
    assert pace.part_s("step") == spec.training.max_steps * spec.training.batch_size / 4 / 2


def test_two_sequences_stand_for_one_where_the_norm_needs_two(corpus, tmp_path):
    spec = tiny_spec(
        corpus, model={"norm": "batch_position"}, training={"batch_size": 4, "accumulate": 2}
    )
    assert pace_of(spec, tmp_path, devices=2, strategy="ddp").part_s("step") > 0


def test_checkpoints_count_where_a_run_is_long_enough_for_one(corpus, tmp_path, watch):
    spec = tiny_spec(corpus, diagnostics={"enabled": ()}, module=TICKING)
    steps = spec.training.max_steps
    assert "checkpoint" not in {p.name for p in pace_of(spec, tmp_path / "a").parts}
    assert list(list_checkpoints(tmp_path / "a")) == []
    for every_s, times in ((2.0, steps // 2), (0.0, steps)):
        folder = tmp_path / f"every-{every_s}"
        parts = pace_of(spec, folder, checkpoint_every_s=every_s).parts
        assert [p.times for p in parts if p.name == "checkpoint"] == [times]
        assert len(list(list_checkpoints(folder))) == 1


@pytest.mark.parametrize("model", [{}, {"norm": "batch", "activation": "swiglu"}])
def test_a_rehearsal_leaves_nothing_behind(corpus, tmp_path, model):
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    pace = pace_of(tiny_spec(corpus, model=model), tmp_path)
    assert torch.equal(torch.rand(()), expected)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert list(tmp_path.iterdir()) == []
    assert pace.run_s > pace.part_s("step") > 0
    assert pace.run_s == pytest.approx(
        sum(pace.part_s(name) for name in ("start", "step", "look", "evaluation"))
    )
    assert Pace.model_validate_json(pace.model_dump_json()) == pace


def test_a_model_without_a_finite_loss_is_refused(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "lightning_modules.language_model.next_token_loss",
        lambda model, batch: model(batch[:, :-1]).sum() * math.nan,
    )
    with pytest.raises(AblationError, match="not finite after 1 steps"):
        pace_of(tiny_spec(corpus), tmp_path)


@pytest.fixture
def hears_ctrl_c():
    """What is started in the background of a shell script is deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_in_a_rehearsal_is_ctrl_c(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "lightning_modules.recording.Recorder.write",
        lambda *_: os.kill(os.getpid(), signal.SIGINT),
    )
    with pytest.raises(KeyboardInterrupt):
        pace_of(tiny_spec(corpus), tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
