"""Two devices give the numbers of one, batch norms included."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from lightning_modules.checkpoints import newest_checkpoint
from lightning_modules.data.token_store import build_token_store
from lightning_modules.gpt.norms import synchronise_norms
from studies.schema import CustomModule
from tests.lightning_modules_tests.diagnostic_helpers import BATCH, build, probe
from tests.lightning_modules_tests.gpt_helpers import normal
from tests.lightning_modules_tests.tiny_runs import HERE, tiny_spec, train, write_text
from tests.lightning_modules_tests.two_ranks import (
    in_two_ranks,
    normalise_shares,
    resume_together,
    train_together,
)

LOOKING = {
    "enabled": (
        "gradient_norms",
        "update_ratios",
        "activation_drift",
        "batch_norm",
        "internal_covariate_shift",
    ),
    "rare_every_steps": 6,
}
DOUBLE = {"precision": "64-true"}
# Learned positions, which this norm takes out again, have no gradient but rounding errors, of which
# Adam makes whole steps; and of two sequences that are alike it enlarges any difference.
POSITION = {"norm": "batch_position", "position": "rope", "norm_eps": 0.1}
CASES = {
    "batch": {"model": {"norm": "batch"}, "training": DOUBLE},
    "batch, post, accumulated": {
        "model": {"norm": "batch", "placement": "post", "bias": True},
        "training": {**DOUBLE, "batch_size": 8, "accumulate": 2},
    },
    "batch_position": {"model": POSITION, "training": DOUBLE},
    "batch_position, a sequence each": {
        "model": {**POSITION, "norm_affine": False},
        "training": {**DOUBLE, "accumulate": 2},
    },
    "single precision": {"model": {"norm": "batch"}},
    "layer": {"model": {"norm": "layer"}, "training": DOUBLE},
}
OWN = {"module": CustomModule(import_path=f"{HERE}/own_modules.py:BatchNormed")}
TYPES = {"double": (torch.float64, 1e-8), "single": (torch.float32, 1e-3)}
ROWS = slice(5), slice(5, 8)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which two ranks have done everything."""
    home = tmp_path_factory.mktemp("two")
    text = write_text(home / "text.txt")
    specs = {name: spec_of(text, case) for name, case in {**CASES, "own": OWN}.items()}
    build_token_store(specs["own"].data, home / "cache")
    shares = {name: [share(rows, dtype) for rows in ROWS] for name, (dtype, _) in TYPES.items()}
    work = [
        partial(train_together, specs),
        partial(resume_together, specs["batch"]),
        partial(normalise_shares, shares),
    ]
    in_two_ranks(work, home)
    return home


def spec_of(text, case):
    return tiny_spec(text, diagnostics=LOOKING, **case)


def share(rows, dtype):
    """Rows of an input and of the weights of its output, and running mean and variance."""
    x_NC = 1e3 + normal(8, 4, seed=1)  # where E[x²] - E[x]² has no correct digit in single
    share = x_NC[rows], normal(8, 4, seed=2)[rows], normal(4, seed=3), normal(4, seed=4)
    return [tensor.to(dtype, copy=True) for tensor in share]


def weights(directory):
    checkpoint = newest_checkpoint([directory])
    return torch.load(checkpoint.path, weights_only=True)["state_dict"]


@pytest.mark.parametrize("name", CASES)
def test_two_devices_give_the_numbers_of_one(name, home, tmp_path):
    spec = spec_of(home / "text.txt", CASES[name])
    result, expected = train(spec, tmp_path, checkpoint_every_s=0)
    rows, facts = torch.load(home / f"{name}.pt", weights_only=True)
    assert facts == result.facts
    assert rows.keys() == expected.keys()
    for step, values in rows.items():
        assert values == pytest.approx(expected[step], rel=1e-4, abs=1e-5)
    torch.testing.assert_close(weights(home / name), weights(tmp_path), rtol=1e-4, atol=1e-5)


def test_records_say_that_norms_of_a_module_of_ones_own_are_not_synchronised(home, tmp_path):
    result, _ = train(spec_of(home / "text.txt", OWN), tmp_path)
    assert "batch_norm" not in result.facts
    _, facts = torch.load(home / "own.pt", weights_only=True)
    assert facts == {**result.facts, "batch_norm": "per device"}


def test_a_resumed_run_on_two_devices_is_bit_identical(home):
    rows, _ = torch.load(home / "batch.pt", weights_only=True)
    assert torch.load(home / "resumed.pt", weights_only=True) == rows
    whole = weights(home / "batch")
    assert all(torch.equal(x, whole[name]) for name, x in weights(home / "resumed").items())


@pytest.mark.parametrize("name", TYPES)
def test_shares_are_normalised_as_the_whole_and_so_are_gradients(name, home):
    _, tolerance = TYPES[name]
    parts = [share(rows, TYPES[name][0]) for rows in ROWS]
    x_NC = torch.cat([x_NC for x_NC, *_ in parts]).double().requires_grad_()
    weights_NC = torch.cat([weights_NC for _, weights_NC, *_ in parts]).double()
    mean_C, variance_C = (running.double() for running in parts[0][2:])
    y_NC = F.batch_norm(x_NC, mean_C, variance_C, training=True, momentum=0.3, eps=1e-3)
    (y_NC * weights_NC).sum().backward()
    first, second = (torch.load(home / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1))
    for found, expected in (
        (torch.cat([first[0], second[0]]), y_NC.detach()),
        (torch.cat([first[1], second[1]]), x_NC.grad),
        (first[2], mean_C),
        (first[3], variance_C),
    ):
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    assert all(torch.equal(*running) for running in zip(first[2:], second[2:], strict=True))


@pytest.mark.parametrize("norm", ["batch", "batch_position"])
def test_only_training_waits_for_other_ranks(norm):
    enabled = "batch_norm", "activation_drift"
    (_, suite), (module, joined) = build(*enabled, norm=norm), build(*enabled, norm=norm)
    synchronise_norms(module)
    for step in (0, 1):
        assert probe(joined, step) == probe(suite, step)
    module.eval().validation_step(BATCH, 0)
    with pytest.raises(ValueError, match="process group has not been initialized"):
        module.train().training_step(BATCH, 0)
