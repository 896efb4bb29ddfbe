from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_modules.diagnostics.activation_drift import ActivationDrift
from lightning_modules.diagnostics.base import NO_READINGS, Subject
from lightning_modules.diagnostics.taps import run_with_residual_taps
from lightning_modules.evaluation import evaluation_mode
from lightning_modules.gpt.model import GPT
from studies.schema import ModelConfig
from tests.lightning_modules_tests.tiny_runs import tiny_spec, train, write_text

PROBE = torch.randint(20, (6, 8), generator=torch.Generator().manual_seed(0))


def build(**model) -> GPT:
    sizes = {"n_layers": 2, "n_heads": 2, "d_model": 16, "context_length": 8}
    return GPT(ModelConfig(**{**sizes, **model}), 20, seed=0)


def disturb(model: GPT) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)


def probe(diagnostic: ActivationDrift) -> dict[str, float]:
    with evaluation_mode(diagnostic.subject.model):
        names, values = diagnostic.probe()
    return dict(zip(names, values.tolist(), strict=True))


def residuals(model: GPT) -> list[np.ndarray]:
    """The residual stream (N, D) at each tap, computed block by block."""
    with evaluation_mode(model):
        x = model.embedding_scale(model.position_embedding(model.token_embedding(PROBE)))
        taps = [x]
        for block in model.blocks:
            taps.append(block(taps[-1]))
    return [tap.flatten(0, 1).double().numpy() for tap in taps]


def bures(x, reference) -> float:
    mean, std = x.mean(0), x.std(0)
    mean_r, std_r = reference.mean(0), reference.std(0)
    return float(np.median(((mean - mean_r) ** 2 + (std - std_r) ** 2) / std_r**2))


def scaled(x):
    return x / np.sqrt(np.square(x).mean())


@pytest.mark.parametrize(
    "parts", [{}, {"norm": "batch", "placement": "post"}, {"norm": "none", "placement": "none"}]
)
def test_statistics_are_those_of_numpy_in_double_precision(parts):
    model = build(**parts)
    diagnostic = ActivationDrift(Subject(model, PROBE))
    first = residuals(model)
    probe(diagnostic)
    disturb(model)
    read = probe(diagnostic)
    expected = {}
    for index, (x, reference) in enumerate(zip(residuals(model), first, strict=True)):
        rms, channels = np.sqrt(np.square(x).mean()), np.sqrt(np.square(x).mean(0))
        expected |= {
            f"activation_rms/residual_{index:02d}": rms,
            f"activation_drift/residual_{index:02d}": bures(x, reference),
            f"activation_drift_normalized/residual_{index:02d}": bures(
                scaled(x), scaled(reference)
            ),
            f"activation_kurtosis/residual_{index:02d}": (
                (channels**4).mean() / (channels**2).mean() ** 2
            ),
            f"activation_peak/residual_{index:02d}": np.abs(x).max() / rms,
        }
    assert read == pytest.approx(expected, rel=1e-5)


def test_a_mean_far_from_zero_does_not_cancel():
    model = build()
    with torch.no_grad():
        model.token_embedding.weight += 1000.0
    diagnostic = ActivationDrift(Subject(model, PROBE))
    before = residuals(model)[0]
    probe(diagnostic)
    with torch.no_grad():
        model.token_embedding.weight *= 1.0001
    drift = probe(diagnostic)["activation_drift/residual_00"]
    assert drift == pytest.approx(bures(residuals(model)[0], before), rel=1e-2)


def test_looking_changes_neither_buffers_nor_random_state_nor_modes():
    model = build(norm="batch", dropout=0.5).train()
    diagnostic = ActivationDrift(Subject(model, PROBE))
    buffers = [b.clone() for b in model.buffers()]
    state = torch.random.get_rng_state()
    assert probe(diagnostic) == probe(diagnostic)
    assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_taps_go_when_a_look_fails():
    model = build()

    def fail(index, x):
        raise RuntimeError("look")

    with pytest.raises(RuntimeError, match="look"):
        run_with_residual_taps(model, PROBE, fail)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_reference_survives_a_checkpoint():
    model = build()
    first = ActivationDrift(Subject(model, PROBE))
    probe(first)
    disturb(model)
    resumed = ActivationDrift(Subject(model, PROBE))
    resumed.load_state_dict(first.state_dict())
    assert probe(resumed) == probe(first)


def test_without_learning_there_is_no_drift(tmp_path):
    spec = tiny_spec(write_text(tmp_path / "text.txt"), training={"learning_rate": 0.0})
    _, rows = train(spec, tmp_path / "run")
    drifts = {m: v for m, v in rows[12].items() if m.startswith("activation_drift")}
    assert len(drifts) == 6
    assert set(drifts.values()) == {0.0}


def test_a_module_of_ones_own_is_left_alone():
    subject = Subject(torch.nn.Linear(2, 2), PROBE)
    assert ActivationDrift(subject).probe() is NO_READINGS
