import math

import pytest
import torch
import torch.nn.functional as F

from lightning_modules.gpt.activations import ACTIVATIONS
from lightning_modules.gpt.initialization import (
    INITIALIZATIONS,
    initialize,
    resolve_initialization,
)
from lightning_modules.gpt.model import GPT
from lightning_modules.gpt.roles import named_roles
from studies import vocabulary
from studies.schema import ModelConfig
from tests.lightning_modules_tests.gpt_helpers import (
    NORM_PLACEMENTS,
    VOCABULARY_SIZE,
    random_tokens,
    small_config,
    small_gpt,
)

LAYERS = 4


def test_registry_is_the_vocabulary_with_auto_resolved():
    assert ["auto", *INITIALIZATIONS] == list(vocabulary.INITIALIZATIONS)


@pytest.mark.parametrize(
    ("asked", "d_model", "resolved"),
    [
        ("auto", 255, "fan_in"),
        ("auto", 256, "gpt2"),
        ("xavier", 64, "xavier"),
        ("gpt2", 64, "gpt2"),
    ],
)
def test_auto_depends_on_the_width(asked, d_model, resolved):
    config = ModelConfig(d_model=d_model, initialization=asked)
    assert resolve_initialization(config) == resolved


SCALES = {
    "fan_in": {
        "token_embedding.weight": 4 / 128,
        "position_embedding.weight": 4 / 128,
        "head.weight": 4 / 128,
        "blocks.0.attention.input.weight": 128**-0.5,
        "blocks.0.attention.output.weight": 128**-0.5 / (2 * LAYERS) ** 0.5,
        "blocks.0.feed_forward.input.weight": 128**-0.5,
        "blocks.0.feed_forward.output.weight": 512**-0.5 / (2 * LAYERS) ** 0.5,
    },
    "gpt2": {
        "token_embedding.weight": 0.02,
        "head.weight": 0.02,
        "blocks.0.attention.input.weight": 0.02,
        "blocks.0.attention.output.weight": 0.02 / (2 * LAYERS) ** 0.5,
        "blocks.0.feed_forward.output.weight": 0.02 / (2 * LAYERS) ** 0.5,
    },
    "gpt1": {
        "token_embedding.weight": 0.02,
        "head.weight": 0.02,
        "blocks.0.attention.input.weight": 0.02,
        "blocks.0.attention.output.weight": 0.02,
        "blocks.0.feed_forward.output.weight": 0.02,
    },
    "xavier": {
        "token_embedding.weight": 4 / 128,
        "head.weight": 4 / 128,
        "blocks.0.attention.input.weight": (2 / 256) ** 0.5,
        "blocks.0.attention.output.weight": (2 / 256) ** 0.5,
        "blocks.0.feed_forward.input.weight": (2 / 640) ** 0.5,
        "blocks.0.feed_forward.output.weight": (2 / 640) ** 0.5,
    },
}


@pytest.mark.parametrize("name", INITIALIZATIONS)
def test_standard_deviations(name):
    model = small_gpt(initialization=name, d_model=128, n_layers=LAYERS, tied_head=False)
    parameters = dict(model.named_parameters())
    for leaf, expected in SCALES[name].items():
        values = parameters[leaf]
        # Four standard errors of a standard deviation.
        assert values.std().item() == pytest.approx(expected, rel=4 / (2 * values.numel()) ** 0.5)
        assert abs(values.mean().item()) < 5 * expected / values.numel() ** 0.5


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
def test_leaves_no_parameter_as_it_was_allocated(norm, placement, tied):
    settings = {"norm": norm, "placement": placement, "bias": True, "qk_norm": True}
    model = small_gpt(tied_head=tied, **settings)
    built = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.data.fill_(math.nan)
    initialize(model, model.config, seed=0)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, built[name])
        constant = named_roles(model)[name].constant
        if constant is None:
            assert parameter.std() > 0
        else:
            assert (parameter == constant).all()


def test_one_seed_one_model_another_seed_another():
    for first, second in zip(
        small_gpt(seed=3).parameters(), small_gpt(seed=3).parameters(), strict=True
    ):
        assert torch.equal(first, second)
    three, four = small_gpt(seed=3), small_gpt(seed=4)
    drawn = [name for name, role in named_roles(three).items() if role.constant is None]
    values = [dict(model.named_parameters()) for model in (three, four)]
    assert drawn
    assert not any(torch.equal(values[0][name], values[1][name]) for name in drawn)


def test_draws_are_the_same_in_every_process():
    weight = small_gpt(seed=0, initialization="gpt2").token_embedding.weight
    expected = torch.tensor([-0.0193069, -0.0024513, -0.0100533])
    torch.testing.assert_close(weight[0, :3], expected, rtol=1e-4, atol=0)


def test_layers_and_parameters_draw_different_streams():
    model = small_gpt()
    first, second = (block.attention.output.weight for block in model.blocks)
    assert not torch.equal(first, second)


def test_variants_share_the_parameters_that_they_share():
    base = dict(small_gpt(seed=1).named_parameters())
    for settings in (
        {"norm": "rms", "placement": "sandwich"},
        {"norm": "none", "placement": "none"},
        {"activation": "relu", "position": "rope"},
        {"activation": "swiglu", "placement": "post"},
        {"tied_head": False, "qk_norm": True, "bias": True},
    ):
        other = dict(small_gpt(seed=1, **settings).named_parameters())
        shared = [n for n in base if n in other and base[n].shape == other[n].shape]
        assert "blocks.1.attention.input.weight" in shared
        assert all(torch.equal(base[name], other[name]) for name in shared)


def test_building_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    small_gpt()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_starts_near_ln_v(activation, norm, placement, tied):
    config = small_config(activation=activation, norm=norm, placement=placement, tied_head=tied)
    model = GPT(config, VOCABULARY_SIZE, seed=0)
    tokens = random_tokens(8, 12)
    with torch.no_grad():
        logits = model(tokens[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert abs(loss - math.log(VOCABULARY_SIZE)) < 0.7
