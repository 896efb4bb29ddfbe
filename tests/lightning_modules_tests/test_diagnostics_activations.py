"""Scale, drift and outliers at the taps, against numpy in double precision."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from lightning_modules.diagnostics.registry import DIAGNOSTICS
from lightning_modules.diagnostics.representation_collapse import (
    participation_ratio,
    token_similarity,
)
from studies.metrics import split_series
from tests.lightning_modules_tests.diagnostic_helpers import (
    PROBE,
    activations,
    build,
    disturb,
    probe,
    suite_on,
)
from tests.lightning_modules_tests.tiny_runs import tiny_spec, train, write_text

PARTS = [
    {},
    {"norm": "rms", "placement": "post", "activation": "swiglu"},
    {"norm": "batch", "placement": "post"},
    {"norm": "none", "placement": "none", "activation": "relu"},
    {"dropout": 0.5, "norm": "batch", "activation": "glu"},
    {"norm": "dyt", "placement": "sandwich"},
]


def bures(x, reference) -> float:
    mean, std = x.mean(0), x.std(0)
    mean_r, std_r = reference.mean(0), reference.std(0)
    floor = 1e-6 * (std_r**2).mean()
    return float(
        np.median(((mean - mean_r) ** 2 + (std - std_r) ** 2) / np.maximum(std_r**2, floor))
    )


def rms(x) -> float:
    return float(np.sqrt(np.square(x).mean()))


def scaled(x):
    return x / rms(x)


def skip_first(model) -> bool:
    """Batch norm's first look is on calibrated statistics, which `activations` does not know."""
    return model.get("norm") == "batch"


@pytest.mark.parametrize("parts", PARTS)
def test_statistics_are_those_of_numpy_in_double_precision(parts):
    module, suite = build("activation_scale", "activation_drift", "activation_outliers", **parts)
    first = activations(module)
    step = 1 if skip_first(parts) else 0  # a first look at step 1 is not calibrated
    start = probe(suite, step)
    disturb(module)
    before = activations(module)
    probe(suite, step + 1)
    disturb(module, seed=2)
    read = probe(suite, step + 2)
    expected = {}
    for tap, x in activations(module).items():
        channels = np.sqrt(np.square(x).mean(0))
        expected |= {
            f"activation_rms/{tap}": rms(x),
            f"activation_rms_change/{tap}": np.log2(rms(x) / rms(first[tap])),
            f"activation_drift/{tap}": bures(x, first[tap]),
            f"activation_drift_normalized/{tap}": bures(scaled(x), scaled(first[tap])),
            f"activation_drift_step/{tap}": bures(x, before[tap]),
            f"activation_drift_step_normalized/{tap}": bures(scaled(x), scaled(before[tap])),
            f"activation_kurtosis/{tap}": (channels**4).mean() / (channels**2).mean() ** 2,
            f"activation_peak/{tap}": np.abs(x).max() / rms(x),
        }
    assert read == pytest.approx(expected, rel=1e-5, abs=1e-7)
    # The first look is the reference, and compares with nothing.
    assert not [name for name in start if "drift" in name or "change" in name]


@pytest.mark.parametrize("parts", PARTS)
def test_collapse_is_that_of_pairs_and_eigenvalues(parts):
    module, suite = build("representation_collapse", **parts)
    disturb(module)
    expected = {}
    for tap, x in activations(module).items():
        if tap.startswith(("residual", "final_norm")):
            units = x / np.linalg.norm(x, axis=1, keepdims=True)
            cosines = (units @ units.T)[~np.eye(len(x), dtype=bool)]
            powers = np.linalg.eigvalsh(np.cov(x.T))
            expected[f"token_similarity/{tap}"] = cosines.mean()
            expected[f"effective_rank/{tap}"] = powers.sum() ** 2 / (powers**2).sum()
    assert probe(suite, 1) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("tokens", "channels"), [(60, 16), (12, 16)])
def test_effective_rank_counts_the_directions_that_tokens_vary_in(tokens, channels):
    values = torch.eye(channels)[torch.arange(tokens) % 4]
    assert float(participation_ratio(values - values.mean(0))) == pytest.approx(3)
    one_way = values[:, :1] * torch.arange(1.0, channels + 1)
    assert float(participation_ratio(one_way - one_way.mean(0))) == pytest.approx(1)


def test_tokens_that_point_one_way_are_alike():
    x_ND = torch.tensor([[1.0, 2.0], [2.0, 4.0], [0.5, 1.0]])
    assert float(token_similarity(x_ND)) == pytest.approx(1)
    assert float(token_similarity(torch.tensor([[1.0, 0.0], [-3.0, 0.0]]))) == pytest.approx(-1)


def test_a_mean_far_from_zero_does_not_cancel():
    module, suite = build("activation_drift", "representation_collapse")
    with torch.no_grad():
        module.model.token_embedding.weight += 1000.0
    before = activations(module)["residual_00"]
    probe(suite, 0)
    with torch.no_grad():
        module.model.token_embedding.weight *= 1.0001
    read, now = probe(suite, 1), activations(module)["residual_00"]
    assert read["activation_drift/residual_00"] == pytest.approx(bures(now, before), rel=1e-5)
    powers = np.linalg.eigvalsh(np.cov(now.T))
    rank = powers.sum() ** 2 / (powers**2).sum()
    assert read["effective_rank/residual_00"] == pytest.approx(rank, rel=1e-5)


def test_references_survive_a_checkpoint():
    names = ("activation_scale", "activation_drift", "linear_cka", "sliced_wasserstein")
    module, suite = build(*names)
    probe(suite, 0)
    disturb(module)
    probe(suite, 1)
    resumed = suite_on(module, *names)
    resumed.load_state_dict(suite.state_dict())
    disturb(module, seed=2)
    assert probe(resumed, 2) == probe(suite, 2)


def test_without_learning_there_is_no_drift(tmp_path):
    spec = tiny_spec(write_text(tmp_path / "text.txt"), training={"learning_rate": 0.0})
    _, rows = train(spec, tmp_path / "run")
    read = rows[12]
    drifts = {m: v for m, v in read.items() if m.startswith("activation_drift")}
    assert len(drifts) == 4 * (3 + 2 * 6 + 1)
    assert set(drifts.values()) == {0.0}
    assert {v for m, v in read.items() if m.startswith("activation_rms_change")} == {0.0}
    assert {v for m, v in read.items() if m.startswith("update_ratio")} == {0.0}
    assert {v for m, v in read.items() if m.startswith("ics_l2")} == {0.0}
    cosines = [v for m, v in read.items() if m.startswith(("ics_cosine", "cka_to_init"))]
    assert cosines == pytest.approx([1.0] * len(cosines), abs=1e-6)
    assert len(cosines) == 4 + 3


def test_batch_norm_is_compared_with_calibrated_statistics():
    """Else its warm-up from mean 0 and variance 1 would count as drift."""
    module, suite = build("activation_drift", norm="batch")
    probe(suite, 0)
    module.train()
    with torch.no_grad():
        for _ in range(200):  # the running statistics become those of the probe
            module.validation_step(PROBE, 0)
    drifts = probe(suite, 1)
    assert max(drifts.values()) < 1e-4


def test_nothing_is_said_of_activations_that_are_not_finite():
    names = ("activation_scale", "activation_outliers", "hidden_units", "attention",
             "representation_collapse")  # fmt: skip
    module, suite = build(*names, activation="glu")
    with torch.no_grad():
        module.model.token_embedding.weight[3] = torch.nan
    read = probe(suite, 1)
    assert len(read) > 20
    assert not [name for name, value in read.items() if np.isfinite(value)]


RULES = [
    (family, rule)
    for diagnostic in DIAGNOSTICS.values()
    for family, metric in diagnostic.definitions.items()
    for rule in metric.by_construction
]


@pytest.mark.parametrize(("family", "rule"), RULES)
def test_what_is_fixed_by_construction_stays_when_all_else_moves(family, rule):
    """Of each combination of levels; norms keep their gain of 1, batch norms catch up."""
    name = next(n for n, d in DIAGNOSTICS.items() if family in d.definitions)
    placements = rule.when.get("model.placement", ("pre", "sandwich"))
    norms = rule.when.get("model.norm", ("layer",))
    for placement, norm, activation in product(
        placements, norms, rule.when.get("model.activation", ("gelu",))
    ):
        module, suite = build(name, placement=placement, norm=norm, activation=activation)
        probe(suite, 0)
        read = []
        for seed in (1, 2):
            disturb(module, seed=seed, kinds=("attention", "feed_forward", "embedding"))
            module.train()
            with torch.no_grad():
                for _ in range(100 if norm == "batch" else 0):
                    module.validation_step(PROBE, 0)
            read.append(
                {
                    curve: value
                    for curve, value in probe(suite, seed).items()
                    if (s := split_series(curve)) and s[0] == family
                    and s[1] in rule.taps and s[2] >= rule.first_index
                }
            )  # fmt: skip
        assert read[0]
        # eps, and Bessel's correction.
        assert read[1] == pytest.approx(read[0], abs=0.02, rel=0.02), (placement, norm, activation)
