from __future__ import annotations

import itertools
import math

import pytest

from lightning_modules.checks import check_variant
from studies.diagnostics import DEFAULT_DIAGNOSTICS
from studies.estimates import estimate
from studies.records import Leak
from studies.schema import CustomModule
from tests.lightning_modules_tests.tiny_runs import HERE, LSTM, tiny_spec

GRID = [
    (activation, norm, placement)
    for activation, norm in itertools.product(
        ("relu", "gelu", "silu", "swiglu"), ("batch", "layer", "group", "none")
    )
    for placement in (("none",) if norm == "none" else ("pre", "post"))
]


@pytest.mark.parametrize(("activation", "norm", "placement"), GRID)
def test_the_default_grid_is_fit(tmp_path, activation, norm, placement):
    model = {
        "activation": activation,
        "norm": norm,
        "placement": placement,
        "n_layers": 12,
        "n_heads": 12,
        "d_model": 768,
        "context_length": 1024,
    }
    spec = tiny_spec(tmp_path, model=model, training={"compile": True, "precision": "16-mixed"})
    check = check_variant(spec, vocabulary_size=50_000)
    assert check.problems == ()
    assert check.leak is (Leak.IN_TRAINING if norm == "batch" else Leak.CAUSAL)
    assert check.initial_loss == pytest.approx(math.log(512), rel=0.1)
    assert check.parameters == estimate(spec.model, 50_000).parameters


def test_a_module_of_ones_own_is_checked_at_its_size(tmp_path):
    spec = tiny_spec(tmp_path, module=LSTM)
    check = check_variant(spec, vocabulary_size=50)
    assert check.problems == ()
    assert check.leak is Leak.CAUSAL
    assert check.parameters == 50 * 32 + 2 * (4 * 32 * 32 + 4 * 32) + 32 * 50 + 50
    assert check.flops_per_token is None
    assert check.silent == tuple(
        d for d in DEFAULT_DIAGNOSTICS if d not in ("gradient_norms", "update_ratios")
    )


OWN = CustomModule(import_path=f"{HERE}/own_transformer.py:OwnTransformer")


def test_what_diagnostics_look_into_is_counted(tmp_path):
    modules = {"block": "layers.*", "activation": "layers.*.feed_forward.1"}
    diagnostics = {"modules": modules, "enabled": ("activation_scale", "attention")}
    check = check_variant(
        tiny_spec(tmp_path, module=OWN, diagnostics=diagnostics), vocabulary_size=50
    )
    assert check.problems == ()
    assert check.modules == {"block": 2, "activation": 2}
    assert check.silent == ("attention",)


def test_a_pattern_of_module_names_is_tried_before_anything_runs(tmp_path):
    diagnostics = {"modules": {"block": "layers.*"}}
    spec = tiny_spec(tmp_path, module=LSTM, diagnostics=diagnostics)
    [problem] = check_variant(spec, vocabulary_size=50).problems
    assert "diagnostics.modules.block = 'layers.*' matches no module" in problem
    assert "its modules: embedding, dropout, lstm, head" in problem


BROKEN = """
import pytorch_lightning as pl
import torch
from torch.nn import functional as F

class Base(pl.LightningModule):
    scale = 0.01
    def __init__(self, vocabulary_size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(vocabulary_size, vocabulary_size))
    def logits(self, tokens):
        return self.scale * self.weight[tokens]
    def training_step(self, batch, batch_idx):
        self.log("loss", 0.0)
        return F.cross_entropy(self.logits(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", 0.0, on_step=True)
        return self.training_step(batch, batch_idx)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

class Raises(Base):
    def training_step(self, batch, batch_idx):
        return self.wieght.sum()

class FarOff(Base):
    scale = 100.0

class NotFinite(Base):
    scale = float("nan")

class Unused(Base):
    def __init__(self, vocabulary_size):
        super().__init__(vocabulary_size)
        self.spare = torch.nn.Parameter(torch.zeros(3))

class NoLoss(Base):
    def validation_step(self, batch, batch_idx):
        return None

class SinglePrecision(Base):
    def validation_step(self, batch, batch_idx):
        assert self.weight.dtype == torch.float32, "only in single precision"
        return self.training_step(batch, batch_idx)

class Unbounded(Base):
    def __init__(self, vocabulary_size):
        super().__init__(vocabulary_size)
        self.block = torch.nn.Softplus()
    def validation_step(self, batch, batch_idx):
        self.block(torch.full((4, 3), torch.inf))
        return self.training_step(batch, batch_idx)

class Leaky(Base):
    def forward(self, tokens):
        return self.logits(tokens).roll(-1, dims=1)
"""


def check_broken(tmp_path, name, **changes):
    (tmp_path / "broken.py").write_text(BROKEN)
    module = CustomModule(import_path=f"{tmp_path}/broken.py:{name}")
    return check_variant(tiny_spec(tmp_path, module=module, **changes), vocabulary_size=50)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Raises", r"AttributeError: .*wieght.* \(.*:\d+\)"),
        ("FarOff", r"the loss before training is .* ln 50 = 3.91"),
        ("NotFinite", "the loss before training is nan"),
        ("Unused", "no gradient reaches spare"),
        ("NoLoss", "must return the mean loss"),
        ("Absent", "no LightningModule 'Absent'"),
    ],
)
def test_what_is_wrong_with_a_module_is_said(tmp_path, name, problem):
    check = check_broken(tmp_path, name)
    with pytest.raises(AssertionError, match=problem):
        assert check.problems == (), "\n".join(check.problems)


def test_a_module_without_forward_has_no_leak_label(tmp_path):
    check = check_broken(tmp_path, "Base")
    assert (check.problems, check.leak) == ((), None)


def check_habit(tmp_path, name, **changes):
    module = CustomModule(import_path=f"{HERE}/own_modules.py:{name}")
    return check_variant(tiny_spec(tmp_path, module=module, **changes), vocabulary_size=50)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("Cautious", {"training": {"max_steps": 50, "warmup_steps": 10}}),
        ("Tutorial", {"diagnostics": {"modules": {"attention": "layers.*.linear"}}}),
        ("DefaultTypePositions", {"training": {"precision": "bf16-true"}}),
        ("NeedsAutocast", {"training": {"precision": "bf16-mixed"},
                           "diagnostics": {"enabled": ("activation_scale", "gradient_norms"),
                                           "modules": {"block": "layers.*"}}}),
        ("Fused", {"training": {"precision": "bf16-mixed", "gradient_clip_norm": None}}),
    ],
)  # fmt: skip
def test_what_trains_is_fit(tmp_path, name, changes):
    assert check_habit(tmp_path, name, **changes).problems == ()


def test_what_cannot_be_measured_is_said_before_anything_runs(tmp_path):
    diagnostics = {"modules": {"block": "layers.*"}}
    training = {"precision": "bf16-mixed"}
    check = check_habit(tmp_path, "NeedsAutocast", training=training, diagnostics=diagnostics)
    assert "leave it out of diagnostics.enabled" in check.problems[0]
    training = {"precision": "16-mixed"}
    assert "use fused=False" in check_habit(tmp_path, "Fused", training=training).problems[0]


@pytest.mark.parametrize(
    ("precision", "fit"), [("32-true", True), ("16-mixed", True), ("bf16-true", False)]
)
def test_a_variant_is_tried_in_the_precision_of_its_run(tmp_path, precision, fit):
    check = check_broken(tmp_path, "SinglePrecision", training={"precision": precision})
    assert any("only in single precision" in p for p in check.problems) is not fit


def test_a_diagnostic_that_reads_nothing_finite_sees_nothing(tmp_path):
    diagnostics = {
        "enabled": ("gradient_norms", "activation_scale"), "modules": {"block": "block"}
    }  # fmt: skip
    check = check_broken(tmp_path, "Unbounded", diagnostics=diagnostics)
    assert (check.problems, check.silent) == ((), ("activation_scale",))


def test_a_leak_is_no_problem_but_a_label(tmp_path):
    check = check_broken(tmp_path, "Leaky")
    assert (check.problems, check.leak) == ((), Leak.LEAKY)
