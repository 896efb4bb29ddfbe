from __future__ import annotations

import pytest
import torch

from lightning_modules.gpt.model import GPT
from lightning_modules.language_model import LanguageModel, next_token_loss
from lightning_modules.optimization import learning_rate_factor
from studies.schema import TrainingConfig
from tests.lightning_modules_tests.tiny_runs import tiny_spec


@pytest.mark.parametrize(
    ("step", "factor"),
    [(1, 0.1), (5, 0.5), (10, 1.0), (35, 0.1 + 0.9 * 0.5 * (1 + 2**-0.5)), (60, 0.55), (110, 0.1)],
)
def test_warm_up_then_half_a_cosine(step, factor):
    training = TrainingConfig(max_steps=110, warmup_steps=10, final_learning_rate_fraction=0.1)
    assert learning_rate_factor(training, step, 110) == pytest.approx(factor)


@pytest.mark.parametrize("warmup", [0, 7])
def test_a_final_fraction_of_one_keeps_the_rate(warmup):
    training = TrainingConfig(max_steps=7, warmup_steps=warmup, final_learning_rate_fraction=1)
    factors = [learning_rate_factor(training, step, 7) for step in range(1, 8)]
    assert factors == pytest.approx([1] * 7 if not warmup else [s / 7 for s in range(1, 8)])


def test_the_scheduler_may_look_one_step_past_the_end():
    """Lightning does after the last step, also where the warm-up takes all of them."""
    assert learning_rate_factor(TrainingConfig(max_steps=5, warmup_steps=5), 6, 5) == 1.0
    assert learning_rate_factor(TrainingConfig(max_steps=5, warmup_steps=0), 6, 5) == 0.1


def test_the_decay_ends_where_the_time_does_though_that_is_between_two_steps():
    training = TrainingConfig(warmup_steps=10, final_learning_rate_fraction=0.1)
    assert learning_rate_factor(training, 60, 110.0) == pytest.approx(0.55)
    assert learning_rate_factor(training, 42, 41.7) == pytest.approx(0.1)
    assert learning_rate_factor(training, 4, 3.5) == 0.35  # over before its warm-up


def test_decay_follows_the_role(tmp_path):
    spec = tiny_spec(tmp_path, model={"bias": True})
    module = LanguageModel(spec, 20)
    decaying, others = module.configure_optimizers()["optimizer"].param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decaying["params"]} == {2}
    assert {p.ndim for p in others["params"]} == {1}
    counted = sum(len(group["params"]) for group in (decaying, others))
    assert counted == len(list(module.parameters()))


def test_the_fused_step_is_the_plain_one(tmp_path):
    """A fused CPU step reads gradients as if they were laid out like the parameter."""
    spec = tiny_spec(tmp_path, model={"activation": "swiglu", "qk_norm": True, "norm": "rms"})
    batch = torch.randint(20, (4, 9), generator=torch.Generator().manual_seed(0))

    def train(fused: bool) -> GPT:
        module = LanguageModel(spec, 20)
        optimizer = module.configure_optimizers()["optimizer"]
        for group in optimizer.param_groups:
            group["fused"], group["foreach"] = fused, False
        for _ in range(3):
            optimizer.zero_grad()
            next_token_loss(module.model, batch).backward()
            optimizer.step()
        return module.model

    for one, other in zip(train(True).parameters(), train(False).parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
