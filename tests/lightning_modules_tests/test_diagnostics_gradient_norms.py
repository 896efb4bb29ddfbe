from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.diagnostics.base import Subject
from lightning_modules.diagnostics.gradient_norms import GradientNorms
from lightning_modules.gpt.model import GPT
from lightning_modules.gpt.roles import named_roles
from lightning_modules.language_model import next_token_loss
from studies.schema import ModelConfig

PROBE = torch.zeros(1, 8, dtype=torch.long)


@pytest.fixture
def model():
    config = ModelConfig(n_layers=3, n_heads=2, d_model=16, context_length=8, bias=True)
    model = GPT(config, 20, seed=0)
    batch = torch.randint(20, (4, 9), generator=torch.Generator().manual_seed(0))
    next_token_loss(model, batch).backward()
    return model


def reference(model, belongs):
    squares = [
        np.square(p.grad.numpy().astype(np.float64)).sum()
        for name, p in model.named_parameters()
        if belongs(name)
    ]
    return np.sqrt(sum(squares))


def test_every_norm_is_that_of_its_parameters(model):
    names, values = GradientNorms(Subject(model, PROBE)).read_gradients()
    read = dict(zip(names, values.tolist(), strict=True))
    kinds = {name: role.kind for name, role in named_roles(model).items()}
    expected = {"gradient_norm/total": reference(model, lambda name: True)}
    for index in range(3):
        expected[f"gradient_norm/block_{index:02d}"] = reference(
            model, lambda name, prefix=f"blocks.{index}.": name.startswith(prefix)
        )
    for kind in set(kinds.values()):
        expected[f"gradient_norm/{kind}"] = reference(model, lambda n, k=kind: kinds[n] == k)
    assert read == pytest.approx(expected, rel=1e-5)


def test_any_module_has_a_total_also_where_a_gradient_is_missing():
    module = nn.ModuleDict({"used": nn.Linear(3, 3), "unused": nn.Linear(3, 3)})
    module["used"](torch.ones(2, 3)).square().sum().backward()
    names, values = GradientNorms(Subject(module, PROBE)).read_gradients()
    assert names == ("gradient_norm/total",)
    assert values.item() == pytest.approx(reference(module["used"], lambda name: True), rel=1e-5)
