from __future__ import annotations

import math

import pytest
import torch

from lightning_modules.losses import SPIKE_LEAST, SPIKE_WINDOW, LossWatch, TargetWatch


def watch(*losses: float, start: int = 0) -> LossWatch:
    """Losses of one step each, judged together as on a GPU."""
    it = LossWatch(limit=10.0)
    it.start(start)
    for loss in losses:
        it.add(torch.tensor(loss))
        it.end_step()
    it.judge(it.pending().tolist())
    return it


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_loss_is_found_at_its_step(bad):
    seen = watch(2.0, 3.0, bad, 1.0, start=40)
    assert (seen.diverged_at_step, seen.last_finite) == (43, 3.0)


def test_a_loss_above_the_limit_is_the_last_finite_one():
    seen = watch(2.0, 10.5, 2.0)
    assert (seen.diverged_at_step, seen.last_finite) == (2, 10.5)


def test_finite_losses_go_on_counting():
    seen = watch(2.0, 3.0)
    assert (seen.diverged_at_step, seen.last_finite) == (None, 3.0)
    seen.add(torch.tensor(math.nan))
    seen.end_step()
    seen.judge(seen.pending().tolist())
    assert seen.diverged_at_step == 3


def test_micro_batches_make_one_step():
    seen = LossWatch(limit=10.0)
    seen.start(0)
    seen.add(torch.tensor(1.0))
    assert seen.mid_step
    seen.add(torch.tensor(2.0))
    seen.end_step()
    assert not seen.mid_step
    assert seen.pending().tolist() == [3.0]


def noisy(count: int, mean: float = 2.0) -> list[float]:
    """Losses with a standard deviation of 0.1."""
    return [mean + (0.1 if i % 2 else -0.1) for i in range(count)]


def test_a_spike_stands_seven_deviations_above_the_losses_before_it():
    assert watch(*noisy(40), 2.69, *noisy(10)).spikes == 0
    assert watch(*noisy(40), 2.71, *noisy(10)).spikes == 1
    assert watch(*noisy(40), 1.0).spikes == 0


def test_losses_before_the_window_are_forgotten():
    high = [3.0, 9.0] * 10
    assert watch(*high, *noisy(SPIKE_WINDOW - 1), 3.0).spikes == 0
    assert watch(*high, *noisy(SPIKE_WINDOW), 3.0).spikes == 1


def test_too_few_losses_or_equal_ones_tell_no_spike():
    assert watch(*noisy(SPIKE_LEAST - 1), 9.0).spikes == 0
    assert watch(*noisy(SPIKE_LEAST), 9.0).spikes == 1
    assert watch(*[2.0] * 50, 9.0).spikes == 0


def test_spikes_survive_a_checkpoint():
    first = watch(*noisy(30), 5.0)
    resumed = LossWatch(limit=10.0)
    resumed.load_state_dict(first.state_dict())
    for it in (first, resumed):
        it.judge([*noisy(60), 6.0])
    assert (first.spikes, first.state_dict()) == (2, resumed.state_dict())


def test_a_target_is_reached_between_two_evaluations():
    target = TargetWatch(2.0)
    target.see(0, 4.0)
    target.see(100, 3.0)
    resumed = TargetWatch(2.0)
    resumed.load_state_dict(target.state_dict())
    for it in (target, resumed):
        assert it.reached_at is None
        it.see(200, 1.5)
        it.see(300, 2.5)
        it.see(400, 1.0)
        assert it.reached_at == pytest.approx(100 + 100 * 2 / 3)


def test_a_target_may_be_reached_from_the_start():
    target = TargetWatch(5.0)
    target.see(0, 4.0)
    assert target.reached_at == 0.0
