"""Hidden units, attention, similarity and batch norm; and how modules are found and looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.diagnostics.attention import queries_and_keys
from lightning_modules.diagnostics.linear_cka import debiased_linear_cka
from lightning_modules.diagnostics.module_roles import find_roles
from lightning_modules.diagnostics.taps import run_with_taps
from lightning_modules.evaluation import evaluation_mode
from studies.diagnostics import MODULE_ROLES, TAPS
from studies.errors import AblationError
from studies.vocabulary import ACTIVATIONS
from tests.lightning_modules_tests.diagnostic_helpers import (
    PROBE,
    activations,
    build,
    disturb,
    probe,
)

SLOPES = {
    "sigmoid": lambda z: 4 / (1 + np.exp(-z)) * (1 - 1 / (1 + np.exp(-z))),
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "glu": lambda z: SLOPES["sigmoid"](np.split(z, 2, axis=1)[0]),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_units_are_those_of_numpy(activation):
    module, suite = build("hidden_units", activation=activation)
    disturb(module, scale=1.0)
    with torch.no_grad():  # some units die, some sleep
        weight = module.model.blocks[0].feed_forward.input.weight
        weight[:5] = 0.0
        weight[5:9] *= 1e-4
    read = probe(suite, 1)
    taps, expected = activations(module), {}
    for index in range(2):
        hidden = taps[f"hidden_{index:02d}"]
        size = np.abs(hidden).mean(0)
        expected |= {
            f"dead_units/block_{index:02d}": (hidden == 0).all(0).mean(),
            f"dormant_units/block_{index:02d}": (size <= 0.025 * size.mean()).mean(),
            f"hidden_zeros/block_{index:02d}": (hidden == 0).mean(),
        }
        if activation in SLOPES:
            slope = SLOPES[activation](taps[f"pre_activation_{index:02d}"])
            expected[f"saturated_units/block_{index:02d}"] = (slope < 0.01).mean()
    assert read == pytest.approx(expected, abs=1e-6)
    if activation == "relu":
        assert read["dead_units/block_00"] > 0


@pytest.mark.parametrize("parts", [{}, {"qk_norm": True, "position": "rope"}, {"n_heads": 4}])
def test_attention_is_that_of_numpy(parts):
    module, suite = build("attention", **parts)
    disturb(module, scale=0.8)
    read = probe(suite, 1)
    given = activations(module)
    for index, block in enumerate(module.model.blocks):
        x = torch.from_numpy(given[f"attention_norm_{index:02d}"]).float().view(6, 8, 16)
        with torch.no_grad():
            queries, keys, _ = (part.double().numpy() for part in block.attention.heads(x))
        heads, width = queries.shape[1], queries.shape[-1]
        largest, entropies = -np.inf, np.zeros(heads)
        for b in range(6):
            for h in range(heads):
                for t in range(8):
                    logits = keys[b, h, : t + 1] @ queries[b, h, t] / np.sqrt(width)
                    largest = max(largest, logits.max())
                    if t:
                        weights = np.exp(logits - logits.max())
                        weights /= weights.sum()
                        entropies[h] -= (weights * np.log(weights)).sum() / np.log(t + 1) / (6 * 7)
        name = f"block_{index:02d}"
        assert read[f"attention_max_logit/{name}"] == pytest.approx(largest, rel=1e-5)
        assert read[f"attention_entropy/{name}"] == pytest.approx(entropies.mean(), rel=1e-5)
        assert read[f"attention_entropy_min/{name}"] == pytest.approx(entropies.min(), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"batch_first": True, "bias": False}])
def test_torchs_own_attention_is_seen_as_it_is(options):
    attention = nn.MultiheadAttention(16, 4, **options).eval()
    x_BTD = torch.randn(3, 8, 16, generator=torch.Generator().manual_seed(0))
    x = x_BTD if attention.batch_first else x_BTD.transpose(0, 1)
    queries, keys = queries_and_keys(attention, x)
    future = torch.ones(8, 8, dtype=torch.bool).triu(1)
    logits = (queries @ keys.mT / 2).masked_fill(future, -torch.inf)
    _, weights = attention(x, x, x, attn_mask=future, average_attn_weights=False)
    assert torch.allclose(logits.softmax(-1), weights, atol=1e-6)
    for other in ({"kdim": 8}, {"add_bias_kv": True}, {"add_zero_attn": True}):
        assert queries_and_keys(nn.MultiheadAttention(16, 4, **other), x) is None
    assert queries_and_keys(attention, x[0]) is None  # a sequence that is no batch


def test_certain_attention_has_no_entropy_and_no_nan():
    module, suite = build("attention")
    with torch.no_grad():
        module.model.blocks[0].attention.input.weight *= 1e4
    read = probe(suite, 1)
    assert 0 <= read["attention_entropy_min/block_00"] < 0.2
    assert np.isfinite(list(read.values())).all()


def hsic(k, l):  # noqa: E741
    """Song et al. 2012, equation 5, as it is written there."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    one = np.ones(n)
    return (
        np.trace(k @ l)
        + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * one @ k @ l @ one
    ) / (n * (n - 3))


def test_cka_is_that_of_its_formula():
    generator = np.random.default_rng(0)
    x = generator.normal(3.0, 1.0, (50, 12)).astype(np.float32)
    y = (x[:, :8] @ generator.normal(size=(8, 20)) + generator.normal(size=(50, 20))).astype(
        np.float32
    )
    k, l = x.astype(float) @ x.T.astype(float), y.astype(float) @ y.T.astype(float)  # noqa: E741
    expected = hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))
    read = debiased_linear_cka(torch.from_numpy(x), torch.from_numpy(y))
    assert float(read) == pytest.approx(expected, rel=1e-5)


def test_cka_is_blind_to_rotation_and_scale_and_unbiased_for_noise():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 32, generator=generator)
    rotation, _ = torch.linalg.qr(torch.randn(32, 32, generator=generator))
    assert float(debiased_linear_cka(x, 5 * x @ rotation)) == pytest.approx(1.0, abs=1e-5)
    noise = torch.randn(400, 32, generator=generator)
    assert abs(float(debiased_linear_cka(x, noise))) < 0.02


def test_cka_and_sliced_distance_follow_the_residual_stream():
    module, suite = build("linear_cka", "sliced_wasserstein")
    first = activations(module)
    assert probe(suite, 0) == {}
    same = probe(suite, 1)
    disturb(module)
    read = probe(suite, 2)
    directions = torch.randn(16, 32, generator=torch.Generator().manual_seed(0)).double().numpy()
    directions /= np.linalg.norm(directions, axis=0)
    for tap in ("residual_00", "residual_01", "residual_02"):
        x, reference = (taps[tap] for taps in (activations(module), first))
        expected = hsic(x @ x.T, reference @ reference.T) / np.sqrt(
            hsic(x @ x.T, x @ x.T) * hsic(reference @ reference.T, reference @ reference.T)
        )
        assert read[f"cka_to_init/{tap}"] == pytest.approx(expected, rel=1e-5)
        assert same[f"cka_to_init/{tap}"] == pytest.approx(1.0)
        a, b = np.sort(x @ directions, axis=0), np.sort(reference @ directions, axis=0)
        expected = (np.abs(a - b).mean(0) / b.std(0)).mean()
        assert read[f"sliced_w1/{tap}"] == pytest.approx(expected, rel=1e-5)
        assert same[f"sliced_w1/{tap}"] == 0.0


@pytest.mark.parametrize("norm", ["batch", "batch_position"])
def test_batch_norm_distances_are_those_of_numpy(norm):
    module, suite = build("batch_norm", norm=norm, placement="post", dropout=0.5)
    disturb(module)
    kept = [buffer.clone() for buffer in module.buffers()]
    read = probe(suite, 1)
    assert all(torch.equal(a, b) for a, b in zip(kept, module.buffers(), strict=True))
    inputs = {}
    norms = {
        f"{part}_norm_input_{i:02d}": getattr(block, f"{part}_residual").norm
        for i, block in enumerate(module.model.blocks)
        for part in ("attention", "feed_forward")
    }
    for name, part in norms.items():
        part.register_forward_pre_hook(lambda _, given, name=name: inputs.update({name: given[0]}))
    with evaluation_mode(module):
        eval_loss = float(module.validation_step(PROBE, 0))
        for part in norms.values():
            part.train()
        train_loss = float(module.validation_step(PROBE, 0))
    for name, part in norms.items():
        x = inputs[name].double().numpy()
        axes = (0, 1) if norm == "batch" else 0
        mean, variance = x.mean(axes).ravel(), x.var(axes, ddof=1).ravel()
        # The pass above moved the running statistics; what was measured is before it.
        running_mean = (part.running_mean.double().numpy() - 0.1 * mean) / 0.9
        running_var = (part.running_var.double().numpy() - 0.1 * variance) / 0.9
        assert read[f"batch_norm_mean_distance/{name}"] == pytest.approx(
            np.sqrt(np.square(mean - running_mean).mean()), rel=1e-4
        )
        assert read[f"batch_norm_variance_distance/{name}"] == pytest.approx(
            np.sqrt(np.square(variance - running_var).mean()), rel=1e-4
        )
    assert read["batch_norm/loss_gap"] == pytest.approx(train_loss - eval_loss, abs=1e-5)


def test_models_without_batch_norm_have_no_such_numbers():
    _, suite = build("batch_norm")
    assert probe(suite, 1) == {}


def test_the_roles_of_the_built_in_model_are_those_of_the_vocabulary():
    module, _ = build(placement="sandwich")
    assert set(type(module.model).module_roles) == set(MODULE_ROLES)
    assert set(find_roles(module, {})) == set(MODULE_ROLES)


def test_a_pattern_matches_whole_names_and_a_star_one_part():
    module, _ = build()
    roles = find_roles(module, {"block": "model.blocks.*", "attention": "model.*.1.attention"})
    assert roles["block"] == tuple(module.model.blocks)
    assert roles["attention"] == (module.model.blocks[1].attention,)


def test_a_pattern_that_matches_nothing_is_refused():
    module, _ = build()
    with pytest.raises(AblationError, match=r"diagnostics.modules.block = 'model.block.\*'") as e:
        find_roles(module, {"block": "model.block.*"})
    assert "did you mean 'model.blocks.*'" in str(e.value)
    assert str(e.value).count("model.blocks.*.attention,") == 1  # and not once for each layer
    assert "model.blocks.0" not in str(e.value)


def test_two_stars_are_refused():
    module, _ = build()
    with pytest.raises(AblationError, match="write a star for each part"):
        find_roles(module, {"block": "model.**"})


def test_a_part_that_is_left_out_in_this_variant_has_no_role():
    module, _ = build(placement="post")
    assert "final_norm" not in find_roles(module, {"final_norm": "model.final_norm"})


class Doubling(nn.Module):
    """Takes its input by keyword."""

    def forward(self, *, hidden):
        return 2 * hidden


def test_layers_are_counted_as_they_are_called_and_keywords_are_seen():
    shared, seen = Doubling(), {}

    def run():
        x = torch.ones(1, 2, 3)
        for _ in range(3):
            x = shared(hidden=x)

    def show(look):
        seen[look.name] = float(look.x_ND.mean())

    run_with_taps(run, {"block": (shared,), "attention": (shared,)}, TAPS, show)
    residual = {f"residual_{i:02d}": 2.0**i for i in range(4)}
    assert seen == residual | {f"attention_output_{i:02d}": 2.0 ** (i + 1) for i in range(3)}


def test_modules_that_are_never_called_are_no_layers():
    with pytest.raises(AblationError, match=r"modules: block: validation_step calls none of"):
        run_with_taps(lambda: None, {"block": (Doubling(),)}, TAPS, print)


class Overwriting(nn.Module):
    """Writes over its input and returns a tuple, as modules of one's own may."""

    def forward(self, x):
        return x.add_(1), None


def test_inputs_are_seen_before_they_are_written_over():
    layers = nn.ModuleList([Overwriting(), Overwriting()])
    seen = {}

    def run():
        x = torch.zeros(1, 2, 3)
        for layer in layers:
            x, _ = layer(x)

    def show(look):
        seen[look.name] = float(look.x_ND.mean())

    run_with_taps(run, {"block": tuple(layers)}, TAPS, show)
    assert seen == {"residual_00": 0.0, "residual_01": 1.0, "residual_02": 2.0}


def test_taps_go_when_a_look_fails():
    module, _ = build()

    def fail(look):
        raise RuntimeError("look")

    with pytest.raises(RuntimeError, match="look"):
        run_with_taps(lambda: module.validation_step(PROBE, 0), find_roles(module, {}), TAPS, fail)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
