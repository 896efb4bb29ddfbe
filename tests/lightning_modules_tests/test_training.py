from __future__ import annotations

import logging
import math
import os
import signal
import threading

import pytest
import torch

from lightning_modules.training import RunInterrupted
from studies.metrics import (
    DIVERGED_AT_STEP,
    EARLY_LOSS,
    FINAL_LOSS,
    GENERALIZATION_GAP,
    INITIAL_LOSS,
    LAST_TRAIN_LOSS,
    LAST_VALIDATION_LOSS,
    LEARNING_RATE,
    METRICS,
    OVERHEAD_PERCENT,
    PARAMETERS,
    PRUNED_AT_STEP,
    STEPS,
    STEPS_TO_TARGET,
    TRAIN_LOSS,
    TRAIN_SET_LOSS,
    TRAINING_MINUTES,
    TRAINING_TIME_S,
    VALIDATION_LOSS,
)
from studies.records import Leak, Outcome
from tests.lightning_modules_tests.tiny_runs import RowsSink, tiny_spec, train, write_text


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


def test_a_run_records_what_its_cadences_ask_for(corpus, tmp_path):
    result, rows = train(tiny_spec(corpus), tmp_path)
    assert result.outcome is Outcome.COMPLETED
    assert result.leak is Leak.CAUSAL

    def steps(name):
        return [step for step, row in rows.items() if name in row]

    assert (
        steps(TRAIN_LOSS) == steps(LEARNING_RATE) == steps("gradient_norm/total") == [1, 4, 8, 12]
    )
    assert steps(VALIDATION_LOSS) == [0, 2, 5, 10, 12]
    assert steps("activation_drift/residual_02") == [6, 12]
    assert steps("activation_rms/residual_02") == [0, 6, 12]
    assert rows[1][LEARNING_RATE] == pytest.approx(1.5e-3)
    assert rows[12][LEARNING_RATE] == pytest.approx(3e-4)


def test_the_summary_has_every_number_of_the_record(corpus, tmp_path):
    result, rows = train(tiny_spec(corpus), tmp_path)
    series = {TRAIN_LOSS, LEARNING_RATE, TRAINING_MINUTES, VALIDATION_LOSS}
    absent = {DIVERGED_AT_STEP, PRUNED_AT_STEP, LAST_VALIDATION_LOSS}
    assert set(result.summary) == set(METRICS) - series - absent
    losses = {INITIAL_LOSS: 0, EARLY_LOSS: 2, FINAL_LOSS: 12}
    assert {n: result.summary[n] for n in losses} == {
        n: rows[s][VALIDATION_LOSS] for n, s in losses.items()
    }
    assert result.summary[LAST_TRAIN_LOSS] == rows[12][TRAIN_LOSS]
    assert result.summary[STEPS] == 12
    assert result.summary[INITIAL_LOSS] == pytest.approx(
        math.log(result.facts["vocabulary_size"]), rel=0.25
    )
    gap = result.summary[FINAL_LOSS] - result.summary[TRAIN_SET_LOSS]
    assert result.summary[GENERALIZATION_GAP] == pytest.approx(gap)
    assert result.facts["initialization"] == "fan_in"
    assert result.facts["device"] == "cpu"
    assert set(result.definitions) > set(METRICS)


def test_the_loss_on_training_text_is_that_of_the_last_weights(corpus, tmp_path):
    spec = tiny_spec(corpus, training={"max_steps": 300, "learning_rate": 1e-2, "warmup_steps": 10})
    summary = train(spec, tmp_path)[0].summary
    assert 0 < summary[TRAIN_SET_LOSS] < summary[LAST_TRAIN_LOSS] * 1.3
    assert abs(summary[GENERALIZATION_GAP]) < 0.2


def test_a_target_of_ones_own(corpus, tmp_path):
    result, rows = train(tiny_spec(corpus, diagnostics={"target_loss": 2.65}), tmp_path / "reached")
    assert result.facts["target_loss"] == 2.65
    losses = {step: row[VALIDATION_LOSS] for step, row in rows.items() if VALIDATION_LOSS in row}
    first = next(step for step, loss in losses.items() if loss <= 2.65)
    before = max(step for step in losses if step < first)
    assert before < result.summary[STEPS_TO_TARGET] <= first
    result, _ = train(tiny_spec(corpus, diagnostics={"target_loss": 0.01}), tmp_path / "never")
    assert STEPS_TO_TARGET not in result.summary


def test_training_learns(corpus, tmp_path):
    spec = tiny_spec(corpus, training={"max_steps": 150, "learning_rate": 1e-2})
    summary = train(spec, tmp_path)[0].summary
    assert summary[FINAL_LOSS] < 0.6 * summary[INITIAL_LOSS]


def test_equal_specs_give_equal_numbers_and_seeds_differ(corpus, tmp_path):
    dropout = {"dropout": 0.2}
    torch.manual_seed(1)
    one = train(tiny_spec(corpus, model=dropout), tmp_path / "1")[1]
    torch.manual_seed(2)
    two = train(tiny_spec(corpus, model=dropout), tmp_path / "2")[1]
    other = train(tiny_spec(corpus, model=dropout, seed=1), tmp_path / "3")[1]
    assert one == two
    assert one[12][TRAIN_LOSS] != other[12][TRAIN_LOSS]


def test_micro_batches_add_up_to_the_batch(corpus, tmp_path):
    whole = train(tiny_spec(corpus), tmp_path / "whole")[1]
    halves = train(tiny_spec(corpus, training={"accumulate": 2}), tmp_path / "halves")[1]
    assert halves.keys() == whole.keys()
    for step in (1, 12):
        # Covariate shift is read on the last micro-batch, so on other tokens.
        expected = {m: v for m, v in whole[step].items() if not m.startswith("ics")}
        read = {m: v for m, v in halves[step].items() if not m.startswith("ics")}
        assert read == pytest.approx(expected, rel=1e-3)


def test_clipping_bounds_the_step_and_norms_are_read_before_it(corpus, tmp_path):
    free = train(tiny_spec(corpus, training={"gradient_clip_norm": None}), tmp_path / "free")[1]
    clipped = train(tiny_spec(corpus, training={"gradient_clip_norm": 1e-9}), tmp_path / "clip")[1]
    assert free[1]["gradient_norm/total"] == clipped[1]["gradient_norm/total"]
    # Adam's epsilon dwarfs gradients of 1e-9: next to nothing is learnt.
    assert abs(clipped[12][VALIDATION_LOSS] - clipped[0][VALIDATION_LOSS]) < 0.05
    assert free[0][VALIDATION_LOSS] - free[12][VALIDATION_LOSS] > 0.2


def test_divergence_stops_the_run_at_its_step(corpus, tmp_path):
    spec = tiny_spec(
        corpus,
        model={"norm": "none", "placement": "none"},
        training={"learning_rate": 1e3, "gradient_clip_norm": None, "warmup_steps": 0},
    )
    result, rows = train(spec, tmp_path, checkpoint_every_s=0)
    step = result.summary[DIVERGED_AT_STEP]
    assert result.outcome is Outcome.DIVERGED
    assert 1 < step < 12
    assert result.summary[STEPS] == step
    assert FINAL_LOSS not in result.summary
    assert INITIAL_LOSS in result.summary
    assert max(rows) < step
    numbers = [*result.summary.values(), *(v for row in rows.values() for v in row.values())]
    assert all(map(math.isfinite, numbers))


def test_a_lower_bound_on_divergence_is_kept(corpus, tmp_path):
    spec = tiny_spec(corpus, training={"divergence_factor": 1.0001, "learning_rate": 0.3})
    result, _ = train(spec, tmp_path)
    limit = 1.0001 * math.log(result.facts["vocabulary_size"])
    assert result.outcome is Outcome.DIVERGED
    assert result.summary[LAST_TRAIN_LOSS] > limit


def test_an_asked_stop_saves_and_the_rest_is_the_same(corpus, tmp_path):
    spec = tiny_spec(corpus, model={"dropout": 0.1}, training={"accumulate": 2})
    whole, rows = train(spec, tmp_path / "whole")
    answers = iter([False] * 6 + [True])
    with pytest.raises(RunInterrupted) as stopped:
        train(spec, tmp_path / "first", should_stop=lambda: next(answers))
    assert stopped.value.step == 7
    checkpoint = tmp_path / "first" / "step-000000007.ckpt"
    assert list((tmp_path / "first").iterdir()) == [checkpoint]
    resumed, rest = train(spec, tmp_path / "second", resume_from=checkpoint)
    assert rest == {step: row for step, row in rows.items() if step > 7}
    timed = {n for n in whole.summary if n.endswith(("_s", "_gib"))} | {OVERHEAD_PERCENT}
    assert {n: v for n, v in resumed.summary.items() if n not in timed} == {
        n: v for n, v in whole.summary.items() if n not in timed
    }
    assert resumed.summary[TRAINING_TIME_S] > 0
    assert resumed.digests == whole.digests


def test_a_run_that_was_saved_at_its_last_step_just_ends(corpus, tmp_path):
    spec = tiny_spec(corpus)
    whole, _ = train(spec, tmp_path / "first", checkpoint_every_s=0)
    (checkpoint,) = (tmp_path / "first").iterdir()
    again, rows = train(spec, tmp_path / "second", resume_from=checkpoint)
    assert rows == {}
    assert again.outcome is Outcome.COMPLETED
    for name in (FINAL_LOSS, EARLY_LOSS, INITIAL_LOSS, LAST_TRAIN_LOSS, STEPS, PARAMETERS):
        assert again.summary[name] == whole.summary[name]
    assert again.digests == whole.digests


def test_a_stop_at_the_last_step_is_no_interruption(corpus, tmp_path):
    sink = RowsSink()
    result, _ = train(tiny_spec(corpus), tmp_path, sink=sink, should_stop=lambda: 12 in sink.rows)
    assert result.outcome is Outcome.COMPLETED


def test_a_run_leaves_the_process_as_it_was(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    state, threads = torch.random.get_rng_state(), threading.active_count()
    level = logging.getLogger("pytorch_lightning").level
    train(tiny_spec(corpus, model={"dropout": 0.1}), tmp_path / "run")
    assert {s: signal.getsignal(s) for s in handlers} == handlers
    assert torch.equal(torch.random.get_rng_state(), state)
    assert threading.active_count() == threads
    assert logging.getLogger("pytorch_lightning").level == level
    assert torch.is_grad_enabled()
    assert list(tmp_path.iterdir()) == []


def test_sigterm_goes_to_whoever_runs_the_run(corpus, tmp_path):
    asked = []
    before = signal.signal(signal.SIGTERM, lambda *_: asked.append(True))

    class Terminating(RowsSink):
        def write(self, step, values):
            super().write(step, values)
            if step == 4 and not asked:
                os.kill(os.getpid(), signal.SIGTERM)

    try:
        with pytest.raises(RunInterrupted) as stopped:
            train(
                tiny_spec(corpus, training={"accumulate": 2}),
                tmp_path,
                sink=Terminating(),
                should_stop=lambda: bool(asked),
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.step == 5  # step 4 was being recorded, and had been asked already


def test_nothing_is_printed(corpus, tmp_path, capfd, caplog):
    train(tiny_spec(corpus), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_compiled_steps_train_the_same_model(corpus, tmp_path, monkeypatch):
    compiled, compile_model = [], torch.compile

    def compile_without_a_c_compiler(model):
        compiled.append(model)
        return compile_model(model, backend="eager")

    monkeypatch.setattr(torch, "compile", compile_without_a_c_compiler)
    plain = train(tiny_spec(corpus), tmp_path / "plain")[1]
    fast = train(tiny_spec(corpus, training={"compile": True}), tmp_path / "fast")[1]
    assert len(compiled) == 1
    for step, row in plain.items():
        assert fast[step] == pytest.approx(row, rel=1e-4)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions_train(corpus, tmp_path, precision):
    spec = tiny_spec(corpus, training={"precision": precision, "max_steps": 30})
    summary = train(spec, tmp_path)[0].summary
    assert summary[FINAL_LOSS] < summary[INITIAL_LOSS]
