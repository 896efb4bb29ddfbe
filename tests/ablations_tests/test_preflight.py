from __future__ import annotations

import os
import re
import signal

import pytest

from ablations.cli import main
from ablations.driver import Driver, RunSettings
from ablations.preflight import THROUGH_CONSTRUCTOR, preflight
from studies.errors import AblationError
from studies.loading import load_study
from studies.planning import make_plan
from studies.records import Outcome
from studies.schema import TrainingConfig, field_of
from tests.ablations_tests.tiny_studies import queue, write_study

MODULE = """
import pytorch_lightning as pl, torch
class Looking(pl.LightningModule):
    '''Looks at the next token, and has a parameter that nothing uses.'''
    def __init__(self, vocabulary_size, look):
        super().__init__()
        self.look, self.table = look, torch.nn.Embedding(vocabulary_size, vocabulary_size)
    def forward(self, tokens):
        return self.table(tokens.roll(-1, 1) if self.look else tokens)
    def training_step(self, batch, batch_idx):
        if self.look == 2:
            raise ValueError('no look of 2')
        logits = self(batch[:, :-1])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    def validation_step(self, batch, batch_idx):
        return self.training_step(batch, batch_idx)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""


def plan_of(folder, **changes):
    return make_plan(load_study(str(write_study(folder, **changes))).study)


def test_every_variant_is_tried_and_the_data_built_once(home):
    steps = []
    plan = plan_of(home, factors={"model.norm": ["layer", "batch"]})
    found = preflight(plan, home / "cache", steps.append)
    found.raise_for_problems()
    assert list(found.checks) == ["layer", "batch"]
    assert [check.leak.value for check in found.checks.values()] == ["causal", "leaks_in_training"]
    assert [step.split(":")[0] for step in steps] == ["data", "pre-flight 1/2", "pre-flight 2/2"]
    assert len(found.data) == 1


def test_prompts_are_tried_before_anything_runs(home):
    plan = plan_of(home, samples={"prompts": ["The statement", "x" * 16]})
    with pytest.raises(AblationError, match="16 tokens leaves no room in a context of 16"):
        preflight(plan, home / "cache", print)


def test_ctrl_c_in_a_pre_flight_is_ctrl_c(home, monkeypatch, capsys):
    monkeypatch.setattr(
        "lightning_modules.checks._Observer.on_before_optimizer_step",
        lambda *_: os.kill(os.getpid(), signal.SIGINT),
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["check", str(write_study(home)), "--home", str(home)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted" in capsys.readouterr().err


def test_a_variant_that_cannot_be_trained_is_named_before_anything_runs(home):
    (home / "looking.py").write_text(MODULE)
    plan = plan_of(
        home,
        module={"import_path": "looking.py:Looking", "arguments": {"look": 0}},
        factors={"module.arguments.look": [0, 1, 2]},
    )
    found = preflight(plan, home / "cache", lambda _: None)
    leaks = {variant: check.leak and check.leak.value for variant, check in found.checks.items()}
    assert [leak for leak in leaks.values()][:2] == ["causal", "leaky"]
    with pytest.raises(AblationError, match="nothing was run") as caught:
        found.raise_for_problems()
    broken = list(found.checks)[2]
    assert broken in str(caught.value)
    assert "no look of 2" in str(caught.value)
    assert "Mend the study" in str(caught.value)


def test_a_problem_of_every_variant_is_said_once(home):
    (home / "looking.py").write_text(MODULE)
    plan = plan_of(
        home,
        module={"import_path": "looking.py:Looking", "arguments": {"look": 0}},
        factors={"module.arguments.look": [0, 1]},
        diagnostics={"modules": {"block": "layers.*"}},
    )
    [problem] = preflight(plan, home / "cache", lambda _: None).problems
    assert problem.startswith("all 2 variants: diagnostics.modules.block = 'layers.*' matches no")


def test_what_diagnostics_look_into_is_printed_once_for_all_variants(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    (home / "looking.py").write_text(MODULE)
    study = write_study(
        home,
        module={"import_path": "looking.py:Looking", "arguments": {"look": 0}},
        factors={"module.arguments.look": [0, 1]},
        diagnostics={
            "modules": {"block": "table"}, "enabled": ["activation_scale", "attention"]
        },
    )  # fmt: skip
    assert main(["check", str(study), "--home", str(home)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "all 2 variants: diagnostics look into 1 × block" in printed
    assert "all 2 variants: nothing to see for the diagnostics attention" in printed


def test_a_text_too_short_for_the_model_is_refused_before_anything_runs(home):
    (home / "short.txt").write_text("fourteen bytes")
    plan = plan_of(home, data={"corpus": str(home / "short.txt")})
    with pytest.raises(AblationError, match="context_length"):
        preflight(plan, home / "cache", lambda _: None)


def factors_of_own(home, factors, **arguments):
    (home / "looking.py").write_text(MODULE.replace("look):", "look=0, norm=None, **others):"))
    module = {"import_path": "looking.py:Looking", "arguments": arguments}
    return plan_of(home, module=module, factors=factors, seeds=1)


@pytest.mark.parametrize(
    ("factors", "arguments", "words"),
    [
        (
            {"model.norm": ["rms", "layer"], "model.placement": ["pre", "post"]},
            {},
            "model.placement changes nothing.*no argument is called placement",
        ),
        ({"training.beta2": [0.9, 0.95]}, {"others": 3}, "no argument is called beta2"),
        ({"model.norm": ["rms", "layer"]}, {"norm": "rms"}, "module.arguments gives norm"),
        (
            {"model.norm": ["rms", "layer"], "module.arguments.norm": ["rms", "layer"]},
            {},
            "module.arguments gives norm",
        ),
    ],
)
def test_factors_that_cannot_reach_a_module_are_refused(home, factors, arguments, words):
    plan = factors_of_own(home, factors, **arguments)
    with pytest.raises(AblationError, match=words):
        preflight(plan, home / "cache", lambda _: None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"training.beta2": [0.9, 0.95]}, "training.beta2 changes nothing"),
        (
            {"training.beta2": [0.9, 0.95], "training.beta1": [0.8, 0.9]},
            "beta1, training.beta2 change nothing",
        ),
        ({"module.arguments.lok": [0, 1]}, "takes no argument 'lok'; did you mean 'look'"),
        ({"model.norm_eps": [1e-5, 1e-6], "module.arguments.norm_eps": [1, 2]}, "gives norm_eps"),
    ],
)
def test_searched_keys_that_cannot_reach_a_module_are_refused(home, values, words):
    search = {"kind": "sweep", "values": values}
    named = MODULE.replace("look):", "look=0, norm_eps=None):")
    (home / "looking.py").write_text(named)
    module = {"import_path": "looking.py:Looking"}
    plan = plan_of(home, module=module, factors={}, protocol={"search": search})
    with pytest.raises(AblationError, match=words):
        preflight(plan, home / "cache", lambda _: None)


def test_searched_keys_that_reach_a_module_or_the_harness_are_tried(home):
    values = {"module.arguments.look": [0, 1], "training.gradient_clip_norm": [0.5, 1.0]}
    (home / "looking.py").write_text(MODULE.replace("look):", "look=0):"))
    plan = plan_of(
        home,
        module={"import_path": "looking.py:Looking"},
        factors={},
        protocol={"search": {"kind": "sweep", "values": values}},
    )
    preflight(plan, home / "cache", lambda _: None).raise_for_problems()


SIZES = {
    "data": {"corpus": "python-docs", "tokenizer": "characters", "evaluation_tokens": 256},
    "factors": {"model.n_layers": [1, 2]},
}


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_size_that_no_plan_knows_is_refused_as_any_other(home, capsys, command):
    protocol = {"beyond_tolerance": "refuse"}
    study = write_study(home, **SIZES, protocol=protocol)
    assert main([command, str(study), "--home", str(home)]) == 2
    assert re.search(r"n_layers=2 has \+\d+.\d% parameters against", capsys.readouterr().err)


def test_sizes_are_refused_only_where_the_protocol_says_so(home):
    for protocol in ({}, {"beyond_tolerance": "refuse", "match": "none"}):
        found = preflight(plan_of(home, **SIZES, protocol=protocol), home / "cache", lambda _: None)
        assert found.problems == ()


def test_sizes_are_compared_with_those_of_the_variants_that_have_ended(home):
    protocol = {"beyond_tolerance": "refuse"}
    plan, _, ledger = queue(home, **SIZES, protocol=protocol, seeds=1)
    ledger.claim([plan.runs[0].run_key]).complete(Outcome.COMPLETED, 1.0)
    driver = Driver(plan, RunSettings(home, "no store"))
    with pytest.raises(AblationError, match="n_layers=2 has"):
        driver.check(lambda _: None)


def test_nothing_is_open_where_nothing_failed(home):
    plan, _, ledger = queue(home, factors={}, seeds=1)
    ledger.claim([plan.runs[0].run_key]).complete(Outcome.COMPLETED, 1.0)
    driver = Driver(plan, RunSettings(home, "no store", retry_failed=True))
    assert driver.check(lambda _: None).checks == {}


def test_factors_that_reach_a_module_or_the_harness_are_tried(home):
    factors = {
        "model.norm": ["rms", "layer"],
        "model.context_length": [8, 16],
        "training.batch_size": [2, 4],
        "model.placement": ["pre"],
    }
    found = preflight(factors_of_own(home, factors), home / "cache", lambda _: None)
    found.raise_for_problems()
    assert len(found.checks) == 8


@pytest.mark.parametrize("key", sorted(THROUGH_CONSTRUCTOR))
def test_what_goes_through_the_constructor_is_a_key(key):
    assert field_of(key)


def test_every_training_key_is_the_harness_s_or_the_module_s():
    harness = {
        "max_steps", "max_minutes", "batch_size", "accumulate", "gradient_clip_norm",
        "precision",
        "early_step_fraction", "divergence_factor",
        "initialization_seed", "data_seed", "dropout_seed",
    }  # fmt: skip
    keys = {f"training.{name}" for name in set(TrainingConfig.model_fields) - harness}
    assert keys == {key for key in THROUGH_CONSTRUCTOR if key.startswith("training.")}
