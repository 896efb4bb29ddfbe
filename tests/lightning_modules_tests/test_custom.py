from __future__ import annotations

import pytest
import torch

from lightning_modules.custom import build_custom_module
from studies.errors import AblationError
from studies.metrics import FINAL_LOSS, FLOPS_PER_TOKEN, INITIAL_LOSS, PARAMETERS
from studies.records import Leak, Outcome
from studies.schema import CustomModule
from tests.lightning_modules_tests.tiny_runs import LSTM, tiny_spec, train, write_text

BASE = """
import pytorch_lightning as pl
import torch

class Fine(pl.LightningModule):
    def __init__(self, {arguments}):
        super().__init__()
        self.given = dict({given})
        self.weight = torch.nn.Parameter(torch.randn(3))
    def training_step(self, batch, batch_idx): ...
    def validation_step(self, batch, batch_idx): ...
    def configure_optimizers(self): ...

class NoValidation(pl.LightningModule):
    def training_step(self, batch, batch_idx): ...
    def configure_optimizers(self): ...

class Manual(Fine):
    automatic_optimization = False
    @property
    def automatic_optimization(self): return False
"""


@pytest.fixture
def build(tmp_path):
    def make(arguments="", given="", *, name="Fine", seed=0, **own):
        (tmp_path / "own.py").write_text(BASE.format(arguments=arguments, given=given))
        custom = CustomModule(import_path=f"{tmp_path}/own.py:{name}", arguments=own)
        spec = tiny_spec(tmp_path, module=custom, seed=seed)
        return build_custom_module(spec, 99)

    return make


def test_arguments_come_from_the_study_then_from_the_run(build):
    module = build(
        "vocabulary_size, seed, d_model=1, *, learning_rate, width=5, depth=7",
        "v=vocabulary_size, s=seed, d=d_model, lr=learning_rate, w=width, n=depth",
        width=6,
        d_model=2,
        seed=3,
    )
    assert module.given == {"v": 99, "s": 3, "d": 2, "lr": 3e-3, "w": 6, "n": 7}


def test_keys_of_weights_are_of_the_built_in_gpt(build):
    assert build("weights='own'", "w=weights").given == {"w": "own"}


def test_an_argument_that_nobody_takes_is_an_error(build):
    with pytest.raises(AblationError, match=r"takes no argument 'widht'.*did you mean 'width'"):
        build("width=1", widht=2)


def test_an_argument_that_nobody_gives_is_an_error(build):
    with pytest.raises(AblationError, match=r"needs 'depth'.*module\.arguments.*learning_rate"):
        build("depth, *rest, **more")


def test_any_argument_goes_where_the_constructor_takes_any(build):
    assert build("**more", "**more", depth=3).given == {"depth": 3}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own.py:Fin", "no LightningModule 'Fin'; did you mean 'Fine'"),
        ("own.py:torch", "no LightningModule 'torch'"),
        ("own.py:NoValidation", "does not define validation_step"),
        ("own.py:Manual", "automatic_optimization"),
        ("absent.py:Fine", "cannot be imported.*FileNotFoundError"),
        ("no.such.package:Fine", "cannot be imported.*ModuleNotFoundError"),
    ],
)
def test_a_module_that_cannot_be_used_says_why(build, tmp_path, path, message):
    build()
    if ".py:" in path:
        path = f"{tmp_path}/{path}"
    spec = tiny_spec(tmp_path, module=CustomModule(import_path=path))
    with pytest.raises(AblationError, match=message):
        build_custom_module(spec, 99)


def test_initial_values_depend_on_the_seed_alone(build):
    first = build(seed=1).weight
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    again, other = build(seed=1).weight, build(seed=2).weight
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_file_that_changed_is_read_anew(build, tmp_path):
    assert build("a=1", "a=a").given == {"a": 1}
    assert build("a=2", "a=a").given == {"a": 2}


def test_an_importable_class_needs_no_file(tmp_path):
    path = "tests.lightning_modules_tests.lstm_language_model:LSTMLanguageModel"
    spec = tiny_spec(tmp_path, module=CustomModule(import_path=path, arguments={"hidden": 8}))
    assert build_custom_module(spec, 11).head.weight.shape == (11, 8)


def test_the_worked_example_trains(tmp_path):
    spec = tiny_spec(
        write_text(tmp_path / "text.txt"),
        module=LSTM.model_copy(update={"arguments": {"hidden": 24}}),
        training={"max_steps": 40, "learning_rate": 1e-2},
    )
    result, rows = train(spec, tmp_path / "run")
    assert result.outcome is Outcome.COMPLETED
    assert result.leak is Leak.CAUSAL
    assert result.summary[FINAL_LOSS] < 0.85 * result.summary[INITIAL_LOSS]
    assert result.summary[PARAMETERS] == sum(
        p.numel() for p in build_custom_module(spec, result.facts["vocabulary_size"]).parameters()
    )
    assert FLOPS_PER_TOKEN not in result.summary  # a fused LSTM cannot be counted
    assert rows[40]["train/learning_rate"] == 1e-2
    assert rows[40]["gradient_norm/total"] > 0
