import pytest
import torch

from lightning_modules.accounting import count_parameters
from lightning_modules.gpt.activations import ACTIVATIONS
from studies import vocabulary
from tests.lightning_modules_tests.gpt_helpers import normal, small_gpt

GATED = [name for name, level in vocabulary.ACTIVATIONS.items() if level.gated]


def feed_forward_of(**settings):
    return small_gpt(**settings).blocks[0].feed_forward.double()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_output_projection_reads_the_hidden_activation(name):
    feed_forward = feed_forward_of(activation=name)
    x = normal(2, 3, 32)
    seen = []
    feed_forward.input.register_forward_hook(lambda _, __, out: seen.append(out))
    feed_forward.output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    y = feed_forward(x)
    before, hidden = seen
    torch.testing.assert_close(before, x @ feed_forward.input.weight.T)
    torch.testing.assert_close(hidden, ACTIVATIONS[name](before))
    torch.testing.assert_close(y, hidden @ feed_forward.output.weight.T)


@pytest.mark.parametrize(("d_ff", "plain", "gated"), [(None, 128, 85), (100, 100, 100)])
def test_hidden_width(d_ff, plain, gated):
    assert feed_forward_of(d_ff=d_ff, activation="gelu").output.in_features == plain
    assert feed_forward_of(d_ff=d_ff, activation="swiglu").output.in_features == gated


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("d_model", [32, 64, 128])
@pytest.mark.parametrize("name", GATED)
def test_gated_parameters_match_the_ungated_baseline(name, d_model, bias):
    counts = [
        count_parameters(small_gpt(activation=a, d_model=d_model, bias=bias)).non_embedding
        for a in ("gelu", name)
    ]
    assert abs(counts[1] / counts[0] - 1) < 0.01


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_bias_policy(name, bias):
    feed_forward = feed_forward_of(activation=name, bias=bias)
    assert (feed_forward.input.bias is not None) == bias
    assert (feed_forward.output.bias is not None) == bias


def test_dropout_acts_on_the_output():
    feed_forward = feed_forward_of(dropout=0.5)
    torch.manual_seed(0)
    dropped = feed_forward(normal(4, 4, 32)) == 0
    assert 0.3 < dropped.double().mean() < 0.7
