import pytest

from studies.estimates import estimate, hidden_width
from studies.schema import ModelConfig

NANOGPT_CPU = ModelConfig(n_layers=4, n_heads=4, d_model=128, context_length=64)


def test_nanogpt_on_cpu_by_hand():
    block = 4 * 128**2 + 2 * 128 * 512 + 2 * 128
    expected = estimate(NANOGPT_CPU, 65)
    assert expected.parameters_non_embedding == 4 * block + 128
    assert expected.parameters == 4 * block + 128 + (65 + 64) * 128
    matrices = 4 * (4 * 128**2 + 2 * 128 * 512) + 65 * 128
    assert expected.flops_per_token == 6 * matrices + 12 * 4 * 128 * 64


def test_gpt2_small_is_124_million():
    gpt2 = ModelConfig(n_layers=12, n_heads=12, d_model=768, context_length=1024, bias=True)
    assert estimate(gpt2, 50257).parameters == 124_439_808


@pytest.mark.parametrize(
    ("change", "parameters"),
    [
        ({"norm_affine": False}, -9 * 128),
        ({"norm": "none", "placement": "none"}, -9 * 128),
        ({"norm": "layer", "placement": "none"}, -9 * 128),
        ({"placement": "post"}, -128),
        ({"placement": "sandwich"}, 8 * 128),
        ({"norm": "dyt"}, 9 + 1),
        ({"norm": "batch"}, 0),
        ({"qk_norm": True}, 4 * 2 * 32),
        ({"position": "rope"}, -64 * 128),
        ({"tied_head": False}, 65 * 128),
        ({"bias": True}, 4 * (5 * 128 + 512) + 9 * 128),
        ({"activation": "swiglu"}, 4 * 128 * (3 * 341 - 2 * 512)),
    ],
)
def test_what_a_change_adds(change, parameters):
    changed = NANOGPT_CPU.model_copy(update=change)
    difference = estimate(changed, 65).parameters - estimate(NANOGPT_CPU, 65).parameters
    assert difference == parameters


@pytest.mark.parametrize(
    ("d_model", "d_ff", "activation", "width"),
    [(64, None, "swiglu", 171), (64, None, "relu", 256), (64, 300, "glu", 300), (64, 1, "relu", 1)],
)
def test_hidden_width(d_model, d_ff, activation, width):
    model = ModelConfig(d_model=d_model, d_ff=d_ff, activation=activation)
    assert hidden_width(model) == width
