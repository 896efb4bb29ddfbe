import copy

import pytest
import torch
import torch.nn.functional as F

from lightning_modules.gpt.activations import ACTIVATIONS
from studies.errors import AblationError
from tests.lightning_modules_tests.gpt_helpers import (
    CONTEXT,
    NORM_PLACEMENTS,
    VOCABULARY_SIZE,
    random_tokens,
    small_gpt,
)

LEAKS_IN_TRAINING = {"batch"}


def influence(model, tokens, position):
    """Largest gradient of the logits at a position with respect to each token's embedding."""
    seen = []
    hook = model.token_embedding.register_forward_hook(lambda _, __, out: seen.append(out))
    logits = model(tokens)
    hook.remove()
    weights = torch.linspace(-1, 1, VOCABULARY_SIZE)
    (gradient,) = torch.autograd.grad((logits[:, position] * weights).sum(), seen[0])
    return gradient.abs().amax(dim=(0, 2))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
def test_no_gradient_comes_from_the_future(norm, placement, training):
    model = small_gpt(norm=norm, placement=placement)
    model(random_tokens(seed=1))
    by_token = influence(model.train(training), random_tokens(), position=5)
    assert (by_token[:6] > 0).all()
    assert (by_token[6:] == 0).all() != (training and norm in LEAKS_IN_TRAINING)


@pytest.mark.parametrize("position", ["learned", "rope", "none"])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_no_position_scheme_shows_the_future(position, qk_norm):
    model = small_gpt(position=position, qk_norm=qk_norm)
    assert (influence(model, random_tokens(), position=5)[6:] == 0).all()


@pytest.mark.parametrize("norm", ["batch", "batch_position", "instance", "layer"])
def test_a_short_sequence_has_the_logits_of_the_beginning_of_a_long_one(norm):
    model = small_gpt(norm=norm, position="rope")
    model(random_tokens(seed=1))
    model.eval()
    tokens = random_tokens()
    torch.testing.assert_close(model(tokens[:, :7]), model(tokens)[:, :7])


def test_dropout_acts_on_the_embedding_in_training():
    model = small_gpt(dropout=0.5)
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0] == 0))
    torch.manual_seed(0)
    for training in (True, False):
        model.train(training)(random_tokens())
    assert [0.3 < zero.double().mean() < 0.7 for zero in seen] == [True, False]


def test_a_sequence_beyond_the_context_is_refused():
    with pytest.raises(AblationError, match=r"13 tokens do not fit.*context_length = 12"):
        small_gpt()(random_tokens(1, CONTEXT + 1))


def test_a_tied_head_is_the_embedding_and_stays_so_in_a_copy():
    for model in (small_gpt(), copy.deepcopy(small_gpt())):
        assert model.head.weight is model.token_embedding.weight


@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
def test_each_block_maps_the_residual_stream(norm, placement):
    model = small_gpt(norm=norm, placement=placement)
    taps = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, inputs, out: taps.append((inputs[0], out)))
    logits = model(random_tokens())
    (_, middle), (same, last) = taps
    assert torch.equal(middle, same)
    assert middle.shape == last.shape == (4, CONTEXT, 32)
    torch.testing.assert_close(model.head(model.final_norm(last)), logits)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
def test_bf16_autocast_is_finite(norm, placement, affine):
    settings = {"norm": norm, "placement": placement, "norm_affine": affine, "bias": True}
    model = small_gpt(qk_norm=True, position="rope", **settings)
    tokens = random_tokens()
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
def test_true_precisions(norm, placement, dtype):
    model = small_gpt(norm=norm, placement=placement, qk_norm=True, position="rope").to(dtype)
    logits = model(random_tokens())
    assert logits.dtype == dtype
    reference = small_gpt(norm=norm, placement=placement, qk_norm=True, position="rope")
    difference = (logits.double() - reference(random_tokens()).double()).abs()
    # Instance norm makes ±1 of the second token, so that rounding may turn a sign there.
    assert difference.median() < (0.05 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_parameter_learns(activation):
    model = small_gpt(activation=activation, norm="dyt", qk_norm=True, bias=True, tied_head=False)
    tokens = random_tokens()
    F.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(-1, 1).flatten()).backward()
    assert all((p.grad != 0).any() for p in model.parameters())


@pytest.mark.parametrize(
    ("norm", "placement", "activation"),
    [
        ("batch", "pre", "swiglu"),
        ("batch_position", "post", "relu2"),
        ("layer", "sandwich", "gelu"),
        ("instance", "pre", "bilinear"),
        ("group", "post", "geglu"),
        ("rms", "pre", "silu"),
        ("dyt", "sandwich", "glu"),
        ("none", "none", "gelu_tanh"),
    ],
)
def test_compiles_as_one_graph_to_the_same_numbers(norm, placement, activation):
    settings = {"norm": norm, "placement": placement, "activation": activation}
    model = small_gpt(n_layers=1, position="rope", qk_norm=True, **settings)
    eager = copy.deepcopy(model)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    tokens = random_tokens()
    for step in range(2):
        results = [m((tokens + step) % VOCABULARY_SIZE) for m in (compiled, eager)]
        torch.testing.assert_close(*results)
        for logits in results:
            logits.square().sum().backward()
    for ours, theirs in zip(model.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(model.buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
