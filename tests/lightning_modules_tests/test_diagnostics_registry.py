"""What holds for every diagnostic; a new one is tested here without new code."""

from __future__ import annotations

import math
import re

import pytest
import torch

from lightning_modules.diagnostics.registry import DIAGNOSTICS
from lightning_modules.diagnostics.taps import TAPS as WATCHED
from lightning_modules.language_model import LanguageModel
from studies import diagnostics as described
from studies import vocabulary
from studies.metrics import split_series
from studies.schema import CustomModule
from tests.lightning_modules_tests.diagnostic_helpers import (
    BATCH,
    VOCABULARY,
    build,
    spec_of,
    suite_on,
)
from tests.lightning_modules_tests.tiny_runs import HERE, tiny_spec, train, write_text

EVERY = tuple(DIAGNOSTICS)
CONDITIONS = {
    "plain": {},
    "accumulated": {"accumulate": 2},
    "clipped": {"gradient_clip_norm": 0.1},
    "bf16": {"precision": "bf16-mixed"},
    "compiled": {"compile": True},
}
OWN = CustomModule(import_path=f"{HERE}/own_transformer.py:OwnTransformer")
ROLES = {
    "block": "layers.*",
    "attention_norm": "layers.*.norm1",
    "attention": "layers.*.attention",
    "feed_forward_norm": "layers.*.norm2",
    "feed_forward": "layers.*.feed_forward",
    "activation": "layers.*.feed_forward.1",
}


@pytest.fixture(autouse=True)
def _compile_without_a_compiler(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model: _compile(model, backend="eager"))


_compile = torch.compile


def families_of(metrics, definitions) -> set[str]:
    return {m if m in definitions else m.rpartition("/")[0] for m in metrics}


def test_names_are_those_that_a_study_may_give():
    assert list(DIAGNOSTICS) == list(described.DIAGNOSTICS)
    assert list(WATCHED) == list(described.TAPS)
    assert {tap.role for tap in WATCHED.values()} == set(described.MODULE_ROLES)


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_definitions_are_complete(name):
    for family, metric in DIAGNOSTICS[name].definitions.items():
        assert re.fullmatch(r"[a-z0-9_]+(/[a-z0-9_]+)?", family)
        assert metric.label
        assert metric.formula
        assert len(metric.definition) > 20
        assert not metric.definition.endswith(".")
        for rule in metric.by_construction:
            for key, levels in rule.when.items():
                assert set(levels) <= set(vocabulary.VOCABULARIES[key])


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_each_one_records_what_it_defines_and_changes_nothing(tmp_path, name):
    corpus = write_text(tmp_path / "text.txt")
    model = {"dropout": 0.1, "norm": "batch", "activation": "glu"}
    plain = tiny_spec(corpus, model=model, diagnostics={"enabled": ()})
    looked = tiny_spec(corpus, model=model, diagnostics={"enabled": (name,)})
    without, rows_without = train(plain, tmp_path / "plain")
    result, rows = train(looked, tmp_path / "looked")
    added = {m for row in rows.values() for m in row} - {
        m for row in rows_without.values() for m in row
    }
    families = families_of(added, result.definitions)
    assert families == set(result.definitions) - set(without.definitions)
    for step, row in rows_without.items():
        assert row == {m: v for m, v in rows[step].items() if m not in added}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_training_is_bit_identical_with_all_and_with_none(tmp_path, condition):
    corpus = write_text(tmp_path / "text.txt")
    model = {"dropout": 0.1, "norm": "batch"}
    everything = {"enabled": EVERY, "log_every_steps": 1, "probe_every_steps": 1}
    losses = []
    for diagnostics in ({"enabled": (), "log_every_steps": 1}, everything):
        spec = tiny_spec(
            corpus, model=model, training=CONDITIONS[condition], diagnostics=diagnostics
        )
        _, rows = train(spec, tmp_path / f"run-{len(losses)}")
        kept = ("train/loss", "val/loss")
        losses.append({s: {m: row[m] for m in kept if m in row} for s, row in rows.items()})
    assert losses[0] == losses[1]
    assert len(losses[0]) == 13


@pytest.mark.parametrize("condition", ["accumulated", "bf16", "compiled"])
def test_numbers_hold_under_other_ways_to_train(tmp_path, condition):
    corpus = write_text(tmp_path / "text.txt")
    read = []
    for training in ({}, CONDITIONS[condition]):
        spec = tiny_spec(corpus, training=training, diagnostics={"enabled": EVERY})
        _, rows = train(spec, tmp_path / f"run-{len(read)}")
        # Zeros of GELU come and go with rounding, and cosines of small steps are all rounding.
        unstable = ("ics", "hidden_zeros", "train/", "val/")
        read.append({m: v for m, v in rows[12].items() if not m.startswith(unstable)})
    tolerance = {"rel": 0.1, "abs": 0.02} if condition == "bf16" else {"rel": 1e-3, "abs": 1e-5}
    assert read[1] == pytest.approx(read[0], **tolerance)


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_the_host_never_waits_for_the_device(name):
    """A tensor on the device `meta` has no values: whoever asks for one fails."""
    module = LanguageModel(spec_of(norm="batch", activation="glu"), VOCABULARY).to("meta")
    suite = suite_on(module, name)
    batch = BATCH.to("meta")
    read = list(suite.probe(0).names)
    module.training_step(batch, 0).backward()
    suite.before_step(1)
    read += suite.after_step(1, batch).names
    read += suite.probe(1).names
    assert families_of(read, DIAGNOSTICS[name].definitions) == set(DIAGNOSTICS[name].definitions)


def test_values_are_copied_to_the_host_together():
    _, suite = build(*EVERY)
    readings = suite.probe(0)
    assert readings.values.shape == (len(readings.names),)
    assert len(set(readings.names)) == len(readings.names)


def test_a_module_of_ones_own_is_looked_into_by_patterns(tmp_path):
    corpus = write_text(tmp_path / "text.txt")
    spec = tiny_spec(corpus, module=OWN, diagnostics={"enabled": EVERY, "modules": ROLES})
    result, rows = train(spec, tmp_path / "run")
    families = families_of(rows[12], result.definitions)
    silent = {"saturated_units", "batch_norm/loss_gap"}
    silent |= {f"batch_norm_{what}_distance" for what in ("mean", "variance")}
    recorded = {f for name in EVERY for f in DIAGNOSTICS[name].definitions}
    assert recorded - families == silent
    layered = [s for m in rows[12] if (s := split_series(m)) and s[0] == "activation_rms"]
    assert len(layered) == 3 + 2 * 6
    assert {m for m in rows[12] if m.startswith("gradient_norm/")} == {
        f"gradient_norm/{group}"
        for group in ("total", "block_00", "block_01", "attention", "feed_forward", "norm")
    }


def test_a_module_of_ones_own_without_patterns_has_what_needs_none(tmp_path):
    corpus = write_text(tmp_path / "text.txt")
    spec = tiny_spec(corpus, module=OWN, diagnostics={"enabled": EVERY})
    _, rows = train(spec, tmp_path / "run")
    added = set(rows[12]) - {"train/loss", "train/learning_rate", "val/loss"}
    assert added == {"gradient_norm/total", "update_ratio/total"}


def test_single_diagnostics_have_cadences_of_their_own(tmp_path):
    diagnostics = {
        "enabled": ("gradient_norms", "attention", "linear_cka", "hidden_units"),
        "every_steps": {"gradient_norms": 5, "attention": 3},
        "rare_every_steps": 10,
    }
    spec = tiny_spec(write_text(tmp_path / "text.txt"), diagnostics=diagnostics)
    _, rows = train(spec, tmp_path / "run")
    expected = {
        "gradient_norm/total": [1, 5, 10, 12],
        "attention_entropy/block_00": [0, 3, 6, 9, 12],
        "cka_to_init/residual_00": [10, 12],
        "dead_units/block_00": [0, 6, 12],
    }
    for metric, steps in expected.items():
        assert [step for step, row in sorted(rows.items()) if metric in row] == steps


def test_steps_that_nobody_looks_at_cost_nothing():
    module = LanguageModel(spec_of(), VOCABULARY)
    for names, watches, probes in (
        (("gradient_norms", "update_ratios", "internal_covariate_shift"), True, False),
        (("activation_drift", "batch_norm"), False, True),
        ((), False, False),
    ):
        suite = suite_on(module, *names)
        assert (suite.watches(5), suite.probes(5)) == (watches, probes)


def test_no_diagnostics_is_fine(tmp_path):
    spec = tiny_spec(write_text(tmp_path / "text.txt"), diagnostics={"enabled": ()})
    _, rows = train(spec, tmp_path / "run")
    assert set(rows[12]) == {"train/loss", "train/learning_rate", "val/loss"}


@pytest.mark.parametrize("name", ["Recycled", "Aliased", "SharedNorm"])
def test_modules_with_two_names_are_left_as_they_are(tmp_path, name):
    corpus = write_text(tmp_path / "text.txt")
    module = CustomModule(import_path=f"{HERE}/own_modules.py:{name}")
    losses, norms = [], []
    for enabled in (("gradient_norms",), EVERY):
        diagnostics = {"enabled": enabled, "modules": {"block": "layers.*"}}
        spec = tiny_spec(corpus, module=module, diagnostics=diagnostics)
        _, rows = train(spec, tmp_path / f"run-{len(enabled)}")
        losses.append([row["train/loss"] for row in rows.values() if "train/loss" in row])
        norm = "gradient_norm/block_00"
        norms.append([row[norm] for row in rows.values() if norm in row])
    assert losses[0] == losses[1]
    assert norms[0] == norms[1]
    assert min(norms[0]) > 0


def test_a_module_is_run_in_the_precision_of_the_run_and_of_its_default_type(tmp_path):
    corpus = write_text(tmp_path / "text.txt")
    module = CustomModule(import_path=f"{HERE}/own_modules.py:DefaultTypePositions")
    spec = tiny_spec(
        corpus,
        module=module,
        training={"precision": "bf16-true"},
        diagnostics={"enabled": EVERY, "modules": {"block": "layers.*"}},
    )
    _, rows = train(spec, tmp_path / "run")
    assert {"ics_l2/block_01", "cka_to_init/residual_01"} <= rows[12].keys()


def test_a_step_that_is_not_made_has_no_numbers():
    module, suite = build(*EVERY)
    module.training_step(BATCH, 0).backward()
    module.model.blocks[0].attention.input.weight.grad[0, 0] = torch.inf
    suite.before_step(1)
    names, values = suite.after_step(1, BATCH)
    read = dict(zip(names, values.tolist(), strict=True))
    assert {"update_ratio/total", "ics_l2/block_01", "gradient_norm/total"} <= read.keys()
    assert not math.isfinite(read["gradient_norm/total"])
    assert all(math.isnan(v) for name, v in read.items() if not name.startswith("gradient_norm"))
