from __future__ import annotations

import math

import pytest
import torch

from lightning_modules.losses import LossWatch


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
