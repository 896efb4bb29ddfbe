import copy

import pytest
import torch
from torch import nn

from lightning_modules.gpt.activations import ACTIVATIONS
from lightning_modules.gpt.roles import MissingRole, Role, named_roles
from tests.lightning_modules_tests.gpt_helpers import NORM_PLACEMENTS, small_gpt

EVERYTHING = {"bias": True, "qk_norm": True, "tied_head": False}


@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
def test_every_parameter_has_a_role(norm, placement):
    model = small_gpt(norm=norm, placement=placement, **EVERYTHING)
    assert list(named_roles(model)) == [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fans_are_those_of_one_matrix(activation):
    model = small_gpt(activation=activation)
    hidden = model.blocks[0].feed_forward.output.in_features
    roles = named_roles(model)
    fans = {
        name: (role.fan_in, role.fan_out, role.writes_residual)
        for name, role in roles.items()
        if name.startswith("blocks.0.") and role.constant is None
    }
    assert fans == {
        "blocks.0.attention.input.weight": (32, 32, False),
        "blocks.0.attention.output.weight": (32, 32, True),
        "blocks.0.feed_forward.input.weight": (32, hidden, False),
        "blocks.0.feed_forward.output.weight": (hidden, 32, True),
    }


def test_matrices_and_embeddings_decay_and_nothing_else():
    model = small_gpt(norm="dyt", **EVERYTHING)
    roles = named_roles(model)
    decaying = {name.rpartition(".")[2] for name, role in roles.items() if role.decays}
    others = {name.rpartition(".")[2] for name, role in roles.items() if not role.decays}
    assert decaying == {"weight"}
    assert others == {"bias", "gain", "alpha", "scale"}


def test_kinds():
    roles = named_roles(small_gpt(norm="dyt", **EVERYTHING))
    assert {name.removeprefix("blocks.0."): role.kind for name, role in roles.items()}.items() >= {
        "token_embedding.weight": "embedding",
        "position_embedding.weight": "embedding",
        "embedding_scale.scale": "embedding",
        "attention.input.bias": "attention",
        "attention.query_norm.gain": "norm",
        "feed_forward.output.weight": "feed_forward",
        "feed_forward_residual.norm.alpha": "norm",
        "final_norm.gain": "norm",
        "head.weight": "head",
    }.items()


def test_tied_embedding_appears_once_as_embedding():
    roles = named_roles(small_gpt(tied_head=True))
    assert roles["token_embedding.weight"].kind == "embedding"
    assert "head.weight" not in roles


def test_roles_survive_a_deep_copy():
    model = small_gpt(norm="dyt", **EVERYTHING)
    assert named_roles(copy.deepcopy(model)) == named_roles(model)


def test_parameter_without_role_is_named():
    model = small_gpt()
    model.blocks[1].extra = nn.Linear(2, 2, bias=False)
    with pytest.raises(MissingRole, match=r"blocks\.1\.extra\.weight \(of Linear\).*Role"):
        named_roles(model)


def test_role_follows_the_declaration_and_not_the_name_or_rank():
    model = small_gpt()
    model.gain = nn.Module()
    model.gain.bias = nn.Parameter(torch.zeros(3))
    model.gain.parameter_roles = {"bias": Role("head", decays=True, fan_in=3, fan_out=1)}
    assert named_roles(model)["gain.bias"].decays
