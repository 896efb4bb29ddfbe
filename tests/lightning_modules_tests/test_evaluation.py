from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_modules.evaluation import evaluation_loss, evaluation_mode, loss_of
from studies.errors import AblationError


def test_every_part_gets_its_own_mode_back():
    module = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)).train()
    module[1].eval()  # frozen by its owner
    with evaluation_mode(module):
        assert not any(part.training for part in module.modules())
        assert not torch.is_grad_enabled()
    assert [part.training for part in module.modules()] == [True, True, False]
    assert torch.is_grad_enabled()


def test_the_mean_is_over_sequences():
    trainer = SimpleNamespace(
        lightning_module=nn.Identity(),
        strategy=SimpleNamespace(validation_step=lambda batch, index: batch.float().mean()),
    )
    batches = [torch.zeros(3, 2), torch.full((1, 2), 8.0)]
    assert evaluation_loss(trainer, batches) == 2.0


def test_a_loss_may_stand_in_a_mapping():
    assert loss_of({"loss": torch.tensor([2.0])}) == 2.0


@pytest.mark.parametrize("output", [None, {}, 1.0, torch.ones(2)])
def test_anything_else_is_an_error(output):
    with pytest.raises(AblationError, match="must return the mean loss"):
        loss_of(output)
