import pytest

from studies.configuration import flatten
from studies.rules import RULES
from studies.schema import Study
from tests.studies_tests.helpers import problems_of, study_of

BROKEN = [
    ("model.n_heads", {"model": {"n_heads": 3, "d_model": 64}}, "1, 2, 4, 8, 16, 32, 64"),
    (
        "model.position",
        {"model": {"position": "rope", "d_model": 60, "n_heads": 4}},
        "even number of channels",
    ),
    ("model.norm_groups", {"model": {"norm": "group", "norm_groups": 5}}, "a divisor of d_model"),
    (
        "model.norm_groups",
        {"model": {"norm": "group", "norm_groups": 8, "d_model": 32}},
        "at least 8 channels: 1, 2, 4 (",
    ),
    ("model.norm_groups", {"model": {"norm": "group", "d_model": 16}}, "at least 8 channels: 1, 2"),
    (
        "model.weights",
        {"model": {"weights": "w.safetensors"}, "module": {"import_path": "package.module:Own"}},
        "null, since only the built-in GPT",
    ),
    ("training.accumulate", {"training": {"batch_size": 6, "accumulate": 4}}, "1, 2, 3, 6"),
    (
        "training.batch_size",
        {"model": {"norm": "batch_position"}, "training": {"batch_size": 4, "accumulate": 4}},
        "at least 8",
    ),
    (
        "training.batch_size",
        {"training": {"batch_size": 6, "accumulate": 2}, "execution": {"devices": 2}},
        "a multiple of 4: each device",
    ),
    ("training.warmup_steps", {"training": {"max_steps": 50}}, "0 to max_steps (50)"),
    ("data.subset", {"data": {"subset": "en"}}, "only hub data sets have subsets"),
    ("data.revision", {"data": {"revision": "main"}}, "only hub data sets have revisions"),
    (
        "diagnostics.every_steps",
        {"diagnostics": {"enabled": ["attention"], "every_steps": {"gradient_norms": 5}}},
        "names of enabled diagnostics: attention",
    ),
    (
        "diagnostics.probe_tokens",
        {"model": {"norm": "batch", "context_length": 600}},
        "at least 1200: two sequences",
    ),
    ("diagnostics.modules", {"diagnostics": {"modules": {"block": "layers.*"}}}, "built-in GPT"),
]

KEPT = [
    {"model": {"norm": "layer", "norm_groups": 5}},
    {"model": {"norm": "group", "norm_groups": 1, "d_model": 30, "n_heads": 1}},
    {"model": {"norm": "group", "norm_groups": 16}},
    {"model": {"position": "rope", "d_model": 64, "n_heads": 4}},
    {"training": {"warmup_steps": 1000}},
    {"training": {"batch_size": 8, "accumulate": 4}, "model": {"norm": "batch_position"}},
    {"model": {"norm": "batch"}, "execution": {"devices": 2}},
    {"data": {"corpus": "hub:a/b", "subset": "en", "revision": "main"}},
    {"diagnostics": {"enabled": ["attention"], "every_steps": {"attention": 5}}},
    {"model": {"norm": "batch", "context_length": 600}, "diagnostics": {"probe_tokens": 1200}},
    {"model": {"norm": "batch", "context_length": 600}, "diagnostics": {"enabled": ["attention"]}},
    {
        "diagnostics": {"modules": {"block": "layers.*"}},
        "module": {"import_path": "package.module:Own"},
    },
]


def test_the_defaults_keep_every_rule():
    flat = flatten(Study(name="a").base())
    assert [rule for rule in RULES if rule.check(flat)] == []


def test_every_rule_has_a_case():
    assert {rule.keys[0] for rule in RULES} == {key for key, *_ in BROKEN}


@pytest.mark.parametrize(("key", "raw", "allowed"), BROKEN)
def test_what_breaks_a_rule(key, raw, allowed, tmp_path):
    (tmp_path / "w.safetensors").touch()
    problems = problems_of(tmp_path, **raw)
    assert list(problems) == [key]
    assert allowed in problems[key].allowed
    assert "(with " in problems[key].allowed
    assert problems[key].remedy


@pytest.mark.parametrize("raw", KEPT)
def test_what_keeps_them(raw):
    assert study_of(**raw)


def test_rules_hold_for_every_cell():
    problems = problems_of(
        model={"d_model": 64},
        factors={"model.norm": ["layer", "group"], "model.norm_groups": [3, 4]},
    )
    assert list(problems) == ["factors.model.norm_groups"]
    assert problems["factors.model.norm_groups"].value == 3


def test_a_level_that_no_cell_combines_is_fine():
    cells = [{"model.norm": "layer", "model.norm_groups": 3}, {"model.norm": "group"}]
    assert study_of(design={"kind": "list", "cells": cells})


def test_rules_of_the_gpt_do_not_bind_a_module_of_ones_own():
    assert study_of(module={"import_path": "a:B"}, model={"n_heads": 3})
    assert "training.accumulate" in problems_of(
        module={"import_path": "a:B"}, training={"accumulate": 3}
    )
