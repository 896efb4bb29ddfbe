"""Runs of minutes: they end by their training time, with everything that belongs to an end."""

from __future__ import annotations

import itertools

import pytest

from lightning_modules import clock as clock_module
from lightning_modules.checkpoints import newest_checkpoint
from lightning_modules.training import RunInterrupted
from studies.budgets import MOST_STEPS
from studies.metrics import (
    EARLY_LOSS,
    FINAL_LOSS,
    GENERALIZATION_GAP,
    LEARNING_RATE,
    STEPS,
    TRAIN_LOSS,
    TRAINING_MINUTES,
    TRAINING_TIME_S,
    VALIDATION_LOSS,
)
from studies.records import Outcome
from tests.lightning_modules_tests.tiny_runs import LSTM, tiny_spec, train, write_text

MINUTES = 0.02
PEAK, FLOOR = 3e-3, 0.1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


@pytest.fixture
def even_steps(monkeypatch):
    """A clock on which a look takes a hundredth of a second, whatever the machine does."""
    ticks = itertools.count()
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: next(ticks) / 100)


def timed(corpus, **changes):
    training = {"max_steps": MOST_STEPS, "max_minutes": MINUTES, "learning_rate": PEAK}
    diagnostics = {"enabled": ("gradient_norms", "linear_cka")}
    return tiny_spec(corpus, training=training, diagnostics=diagnostics, **changes)


def steps_with(rows, name):
    return [step for step, row in rows.items() if name in row]


def test_a_run_ends_with_its_time_and_with_all_that_belongs_to_an_end(corpus, tmp_path):
    result, rows = train(timed(corpus), tmp_path)
    last = int(result.summary[STEPS])
    assert result.outcome is Outcome.COMPLETED
    assert 1 < last < 1_000_000
    assert {FINAL_LOSS, EARLY_LOSS, GENERALIZATION_GAP} <= result.summary.keys()
    assert rows[last][VALIDATION_LOSS] == result.summary[FINAL_LOSS]
    assert {TRAIN_LOSS, "gradient_norm/total", "cka_to_init/residual_02"} <= rows[last].keys()
    assert max(rows) == last


def test_the_learning_rate_decays_over_the_time(corpus, tmp_path, even_steps):
    result, rows = train(timed(corpus), tmp_path)
    last = int(result.summary[STEPS])
    rates = {step: rows[step][LEARNING_RATE] for step in steps_with(rows, LEARNING_RATE)}
    assert last > 10
    assert result.summary[TRAINING_TIME_S] == pytest.approx(60 * MINUTES, rel=0.1)
    assert rates[1] == pytest.approx(PEAK / 2)
    assert max(rates.values()) > 0.9 * PEAK
    decaying = [rate for step, rate in rates.items() if step > 4]
    assert decaying == sorted(decaying, reverse=True)
    assert FLOOR * PEAK <= rates[last] < FLOOR * PEAK + 2 * PEAK / last
    half = min(rates, key=lambda step: abs(rows[step][TRAINING_MINUTES] - MINUTES / 2))
    assert rates[half] == pytest.approx(PEAK * (1 + FLOOR) / 2, rel=0.25)


def test_early_and_rare_looks_go_by_the_time(corpus, tmp_path, even_steps):
    result, rows = train(timed(corpus), tmp_path)
    last = int(result.summary[STEPS])
    evaluated = [s for s in steps_with(rows, VALIDATION_LOSS) if s % 5 and s not in (0, last)]
    early = evaluated or [s for s in steps_with(rows, VALIDATION_LOSS) if s]
    assert any(rows[s][VALIDATION_LOSS] == result.summary[EARLY_LOSS] for s in early)
    assert len(steps_with(rows, "cka_to_init/residual_02")) in (5, 6)


def test_a_resumed_run_spends_what_is_left(corpus, tmp_path, even_steps):
    asked = itertools.count(1)
    spec = timed(corpus)
    with pytest.raises(RunInterrupted) as stop:
        train(spec, tmp_path / "first", should_stop=lambda: next(asked) == 12)
    saved = newest_checkpoint([tmp_path / "first"])
    result, rows = train(spec, tmp_path / "second", resume_from=saved.path)
    assert stop.value.step == saved.step == 12
    assert min(rows) > 12
    assert result.summary[STEPS] > 13
    whole, _ = train(spec, tmp_path / "whole")
    assert result.summary[STEPS] == pytest.approx(whole.summary[STEPS], abs=4)
    assert result.summary[TRAINING_TIME_S] == pytest.approx(60 * MINUTES, rel=0.1)


def test_a_run_that_was_saved_when_its_time_was_over_just_ends(corpus, tmp_path):
    spec = timed(corpus)
    whole, _ = train(spec, tmp_path / "first", checkpoint_every_s=0)
    saved = newest_checkpoint([tmp_path / "first"])
    result, rows = train(spec, tmp_path / "second", resume_from=saved.path)
    assert rows == {}
    assert result.outcome is Outcome.COMPLETED
    for name in (STEPS, FINAL_LOSS, EARLY_LOSS):
        assert result.summary[name] == whole.summary[name]


def test_a_module_of_ones_own_ends_by_its_time(corpus, tmp_path):
    result, _ = train(timed(corpus, module=LSTM), tmp_path)
    assert 1 < result.summary[STEPS] < 1_000_000
    assert FINAL_LOSS in result.summary


def test_runs_of_steps_record_no_minutes(corpus, tmp_path):
    _, rows = train(tiny_spec(corpus), tmp_path)
    assert steps_with(rows, TRAINING_MINUTES) == []
