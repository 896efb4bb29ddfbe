import pytest
import torch
from torch import nn

from lightning_modules.gpt.norms import NORMS, build_norm
from studies import vocabulary
from tests.lightning_modules_tests.gpt_helpers import normal, small_config

BATCH, TIME, WIDTH = 3, 6, 32
EPS = 1e-3  # large enough that a norm which ignores norm_eps fails
AFFINE_NORMS = [name for name in NORMS if name != "none"]


def norm_of(name, *, randomised=False, **settings):
    settings = {"bias": True, "norm_eps": EPS, "context_length": TIME, **settings}
    norm = build_norm(small_config(norm=name, **settings)).double()
    for index, (leaf, parameter) in enumerate(norm.named_parameters()):
        constant = norm.parameter_roles[leaf].constant
        noise = normal(*parameter.shape, seed=index) if randomised else 0
        parameter.data = torch.full_like(parameter, constant) + noise
    return norm


@pytest.fixture
def x():
    return 3 * normal(BATCH, TIME, WIDTH, seed=7) + 1


def test_registry_is_the_vocabulary():
    assert list(NORMS) == list(vocabulary.NORMS)


def test_layer_is_torch_layer_norm(x):
    torch.testing.assert_close(norm_of("layer")(x), nn.LayerNorm(WIDTH, EPS).double()(x))


def test_group_with_one_group_is_layer(x):
    assert torch.equal(norm_of("group", norm_groups=1)(x), norm_of("layer")(x))


@pytest.mark.parametrize(("groups", "expected"), [(None, 4), (2, 2)])
def test_group_is_torch_group_norm_of_each_token(x, groups, expected):
    reference = nn.GroupNorm(expected, WIDTH, EPS).double()(x.view(-1, WIDTH)).view_as(x)
    torch.testing.assert_close(norm_of("group", norm_groups=groups)(x), reference)


def test_rms_formula(x):
    expected = x / (x.square().mean(-1, keepdim=True) + EPS).sqrt()
    torch.testing.assert_close(norm_of("rms")(x), expected)


@pytest.mark.parametrize(("alpha", "expected"), [(None, 1.0), (0.3, 0.3)])
def test_dyt_formula(x, alpha, expected):
    norm = norm_of("dyt", dyt_alpha=alpha, randomised=False)
    torch.testing.assert_close(norm(x), torch.tanh(expected * x))


def test_none_is_the_identity(x):
    assert torch.equal(NORMS["none"](small_config())(x), x)


def test_batch_is_torch_batch_norm_in_training_and_evaluation(x):
    norm, reference = norm_of("batch"), nn.BatchNorm1d(WIDTH, EPS).double()
    for _ in range(3):
        x = x + 1
        expected = reference(x.transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(norm.running_mean, reference.running_mean)
    torch.testing.assert_close(norm.running_var, reference.running_var)
    expected = reference.eval()(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(norm.eval()(x), expected)


def test_batch_position_is_a_batch_norm_per_position(x):
    norm = norm_of("batch_position")
    references = [nn.BatchNorm1d(WIDTH, EPS).double() for _ in range(TIME)]
    for mode in (True, False):
        norm.train(mode)
        expected = torch.stack([r.train(mode)(x[:, t]) for t, r in enumerate(references)], dim=1)
        torch.testing.assert_close(norm(x), expected)


def test_batch_position_takes_sequences_shorter_than_the_context(x):
    norm = norm_of("batch_position")
    norm(x)
    full = norm.eval()(x)
    torch.testing.assert_close(norm(x[:, :2]), full[:, :2])
    kept, used = norm.running_mean.clone(), 2 * WIDTH
    norm.train()(x[:, :2] + 5)
    assert torch.equal(norm.running_mean[used:], kept[used:])
    assert (norm.running_mean[:used] != kept[:used]).all()


def naive_causal_instance(x):
    rows = []
    for t in range(x.shape[1]):
        past = x[:, : t + 1]
        variance = past.var(dim=1, unbiased=False)
        rows.append((x[:, t] - past.mean(dim=1)) / (variance + EPS).sqrt())
    return torch.stack(rows, dim=1)


def test_instance_is_the_naive_loop_over_prefixes(x):
    torch.testing.assert_close(norm_of("instance")(x), naive_causal_instance(x))


def test_instance_has_the_gradient_of_the_naive_loop(x):
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    weights = normal(*x.shape, seed=3)
    (norm_of("instance")(inputs[0]) * weights).sum().backward()
    (naive_causal_instance(inputs[1]) * weights).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


def test_instance_survives_a_mean_far_above_the_spread():
    x = 1e5 + normal(2, 200, 4, seed=1)
    single = x.float()
    norm = norm_of("instance", d_model=8).float()
    norm.gain, norm.bias = None, None
    # mean(x²) - mean(x)² in single precision has no correct digit here.
    torch.testing.assert_close(
        norm(single).double(), naive_causal_instance(single.double()), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("name", AFFINE_NORMS)
def test_gain_and_bias_act_after_normalisation(name, x):
    norm = norm_of(name, randomised=True)
    plain = norm_of(name, randomised=True, norm_affine=False)
    if name == "dyt":
        plain.alpha.data = norm.alpha.data
    torch.testing.assert_close(norm(x), plain(x) * norm.gain + norm.bias)


@pytest.mark.parametrize("name", AFFINE_NORMS)
@pytest.mark.parametrize(
    ("affine", "bias", "names"),
    [
        (True, True, {"gain", "bias"}),
        (True, False, {"gain"}),
        (False, True, set()),
        (False, False, set()),
    ],
)
def test_one_affine_and_bias_policy(name, affine, bias, names):
    norm = build_norm(small_config(norm=name, norm_affine=affine, bias=bias))
    extra = {"alpha"} if name == "dyt" else set()
    assert {leaf for leaf, _ in norm.named_parameters()} == names | extra


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", AFFINE_NORMS)
def test_gradient(name, training):
    norm = norm_of(name, randomised=True, d_model=8, context_length=3)
    x = normal(3, 3, 8, seed=2)
    norm(x)  # moves running statistics off 0 and 1
    norm.train(training)
    names, parameters = zip(*norm.named_parameters(), strict=True)

    def call(x, *values):
        return torch.func.functional_call(norm, dict(zip(names, values, strict=True)), (x,))

    inputs = [x.requires_grad_(), *(p.detach().requires_grad_() for p in parameters)]
    assert torch.autograd.gradcheck(call, inputs)
