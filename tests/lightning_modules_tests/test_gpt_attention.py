import pytest
import torch

from lightning_modules.gpt.attention import Attention
from tests.lightning_modules_tests.gpt_helpers import normal, small_config, small_gpt


def built(**settings):
    """The attention of a model, which has initial values."""
    return small_gpt(**settings).blocks[0].attention.double()


@pytest.mark.parametrize("position", ["learned", "rope"])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_is_softmax_attention_over_the_past(position, qk_norm):
    attention = built(position=position, qk_norm=qk_norm)
    x = normal(2, 6, 32)
    q, k, v = attention.heads(x)
    scores = q @ k.transpose(-1, -2) / 8**0.5
    future = torch.ones(6, 6, dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ v
    expected = mixed.transpose(1, 2).reshape(2, 6, 32) @ attention.output.weight.T
    torch.testing.assert_close(attention(x), expected)


def test_heads_are_the_three_projections_in_order():
    attention = built()
    x = normal(2, 6, 32)
    for part, weight in zip(attention.heads(x), attention.input.weight.split(32), strict=True):
        expected = (x @ weight.T).view(2, 6, 4, 8).transpose(1, 2)
        torch.testing.assert_close(part, expected)


def test_qk_norm_normalises_each_head_with_one_gain():
    attention = built(qk_norm=True, bias=True)
    q, k, _ = attention.heads(5 * normal(2, 6, 32))
    for part in (q, k):
        torch.testing.assert_close(part.mean(-1), torch.zeros_like(part[..., 0]))
        torch.testing.assert_close(
            part.var(-1, unbiased=False), torch.ones_like(part[..., 0]), rtol=1e-2, atol=0
        )
    assert attention.query_norm.gain.shape == attention.key_norm.bias.shape == (8,)


def test_dropout_is_drawn_in_training_only():
    model = small_gpt(dropout=0.5)
    x = normal(2, 6, 32, dtype=torch.float32)
    attention: Attention = model.blocks[0].attention
    torch.manual_seed(0)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))
    undropped = small_gpt(dropout=0.0).blocks[0].attention
    assert torch.equal(attention(x), undropped(x))


def test_dropout_acts_on_weights_and_on_the_output():
    x = normal(4, 6, 32)
    torch.manual_seed(0)
    dropped, kept = built(dropout=0.5)(x), built()(x)
    survived = dropped != 0
    assert 0.3 < survived.double().mean() < 0.7
    # With dropout on the output alone, what survives would be twice the value without dropout.
    assert not torch.isclose(dropped, 2 * kept)[survived].all()


def test_bias_follows_the_configuration():
    for bias in (True, False):
        attention = Attention(small_config(bias=bias))
        assert (attention.input.bias is not None) == bias
        assert (attention.output.bias is not None) == bias
