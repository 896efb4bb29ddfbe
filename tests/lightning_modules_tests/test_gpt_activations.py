import pytest
import torch
import torch.nn.functional as F

from lightning_modules.gpt.activations import ACTIVATIONS
from studies import vocabulary
from tests.lightning_modules_tests.gpt_helpers import normal

FORMULAS = {
    "relu": lambda x: x.clamp(min=0),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
    "gelu": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "relu2": lambda x: torch.where(x > 0, x * x, torch.zeros_like(x)),
    "glu": lambda w, v: v / (1 + torch.exp(-w)),
    "bilinear": lambda w, v: w * v,
    "reglu": lambda w, v: w.clamp(min=0) * v,
    "geglu": lambda w, v: w * (1 + torch.erf(w / 2**0.5)) / 2 * v,
    "swiglu": lambda w, v: w / (1 + torch.exp(-w)) * v,
}


def test_registry_is_the_vocabulary():
    assert list(ACTIVATIONS) == list(vocabulary.ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_formula(name):
    x = normal(5, 8)
    inputs = x.chunk(2, dim=-1) if vocabulary.ACTIVATIONS[name].gated else (x,)
    torch.testing.assert_close(ACTIVATIONS[name](x), FORMULAS[name](*inputs))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gated_ones_halve_the_projection(name):
    width = 4 if vocabulary.ACTIVATIONS[name].gated else 8
    assert ACTIVATIONS[name](normal(3, 8)).shape == (3, width)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient(name):
    assert torch.autograd.gradcheck(ACTIVATIONS[name], normal(3, 8).requires_grad_())


def test_gelu_tanh_is_not_gelu():
    x = normal(100)
    difference = (ACTIVATIONS["gelu_tanh"](x) - F.gelu(x)).abs().max()
    assert 1e-6 < difference < 1e-2
