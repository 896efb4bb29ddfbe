import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_modules.accounting import (
    count_parameters,
    flops_per_token,
    measured_flops_per_token,
)
from lightning_modules.gpt.model import GPT
from studies.estimates import estimate
from studies.vocabulary import ACTIVATIONS, NORMS, PLACEMENTS, POSITIONS
from tests.lightning_modules_tests.gpt_helpers import (
    CONTEXT,
    VOCABULARY_SIZE,
    random_tokens,
    small_config,
)

SWITCHES = ("qk_norm", "tied_head", "bias", "norm_affine")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_estimate_is_the_count_of_the_built_model(activation, norm):
    settings = itertools.cycle(itertools.product((False, True), repeat=len(SWITCHES)))
    for placement, position in itertools.product(PLACEMENTS, POSITIONS):
        for values in itertools.islice(settings, 3):  # all 16 come up for each norm
            config = small_config(
                activation=activation,
                norm=norm,
                placement=placement,
                position=position,
                **dict(zip(SWITCHES, values, strict=True)),
            )
            with torch.device("meta"):
                count = count_parameters(GPT(config, VOCABULARY_SIZE, seed=0))
            expected = estimate(config, VOCABULARY_SIZE)
            assert count == (expected.parameters, expected.parameters_non_embedding), config


def test_count_of_a_module_of_ones_own():
    model = nn.ModuleDict(
        {
            "tokens": nn.Embedding(10, 4),
            "body": nn.Linear(4, 4),
            "frozen": nn.Linear(4, 4),
            "head": nn.Linear(4, 10),
        }
    )
    model["head"].weight = model["tokens"].weight
    model["frozen"].requires_grad_(False)
    assert count_parameters(model) == (10 * 4 + 4 * 4 + 4 + 10, 4 * 4 + 4 + 10)


@pytest.mark.parametrize("tied_head", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize("position", ["learned", "rope"])
def test_flops_are_those_that_torch_counts(activation, position, tied_head):
    config = small_config(activation=activation, position=position, tied_head=tied_head)
    model = GPT(config, VOCABULARY_SIZE, seed=0)

    def loss(tokens):
        return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())

    measured = measured_flops_per_token(loss, random_tokens(4, CONTEXT))
    # Unfused attention is counted in full and element-wise work not at all, as in the formula.
    assert measured == flops_per_token(config, VOCABULARY_SIZE)


def test_measured_flops_of_a_module_of_ones_own():
    linear = nn.Linear(8, 5)
    x = torch.ones(3, 8, requires_grad=True)
    flops = measured_flops_per_token(lambda t: linear(x[: t.numel()]).sum(), torch.zeros(3))
    assert flops == 6 * 8 * 5
