"""Budgets that buy too little, or nobody knows what; searches that change the size of a model."""

from __future__ import annotations

import pytest

from studies.budgets import known_vocabulary_size
from studies.schema import DataConfig
from tests.studies_tests.helpers import plan_of, problems_of

FLOPS = {"budget": {"flops": 1e13}}
OWN = {"import_path": "some.module:Own"}


@pytest.mark.parametrize(
    ("data", "size"),
    [
        ({}, 256),
        ({"tokenizer": "bpe", "vocabulary_size": 300}, 300),
        ({"tokenizer": "bpe"}, None),
        ({"tokenizer": "characters", "vocabulary_size": 300}, None),
        ({"tokenizer": "saved.json", "vocabulary_size": 300}, None),
    ],
)
def test_a_vocabulary_is_known_where_no_text_decides_it(data, size):
    assert known_vocabulary_size(DataConfig(**data)) == size


@pytest.mark.parametrize(
    "raw",
    [
        {"data": {"tokenizer": "characters", "vocabulary_size": 300}},
        {"factors": {"data.tokenizer": ["bytes", "characters"]}},
        {"design": {"kind": "list", "cells": [{"data.tokenizer": "characters"}]}},
        {"module": OWN},
    ],
)
def test_flops_that_are_not_known_before_the_data_is_read_are_no_budget(raw):
    [(key, problem)] = problems_of(protocol=FLOPS, **raw).items()
    assert key == "protocol.budget.flops"
    assert ("some.module:Own" if "module" in raw else "characters") in problem.allowed


@pytest.mark.parametrize(
    "raw",
    [
        {"data": {"tokenizer": "bpe"}},
        {"data": {"tokenizer": "characters"}, "factors": {"data.tokenizer": ["bytes", "bpe"]}},
        {
            "factors": {"data.tokenizer": ["bytes", "characters"]},
            "exclude": [{"when": {"data.tokenizer": "characters"}, "because": "another study"}],
        },
    ],
)
def test_flops_are_a_budget_where_every_vocabulary_is_known(raw):
    for cell in plan_of(protocol=FLOPS, **raw).cells:
        tokens = cell.configuration["training"]["max_steps"] * 16 * 64
        assert cell.flops_per_token * tokens == pytest.approx(1e13, rel=0.01)


@pytest.mark.parametrize(
    ("budget", "step", "raw"),
    [
        ({"tokens": 1023}, "1,024", {}),
        ({"tokens": 2000}, "2,048", {"factors": {"training.batch_size": [16, 32]}}),
        ({"tokens": 100}, "1,024", {"module": OWN}),
        ({"flops": 5e9}, "5,435,817,984", {}),
    ],
)
def test_a_budget_that_buys_less_than_a_step_is_refused(budget, step, raw):
    [(key, problem)] = problems_of(protocol={"budget": budget}, **raw).items()
    assert key == f"protocol.budget.{next(iter(budget))}"
    assert f"at least {step}, the cost of a step" in problem.allowed


def test_a_budget_of_one_step_is_one():
    training = {"warmup_steps": 0}
    [cell] = plan_of(protocol={"budget": {"tokens": 1024}}, training=training).cells
    assert cell.configuration["training"]["max_steps"] == 1


def searching(values, **raw):
    return problems_of(protocol={"search": {"kind": "sweep", "values": values}}, **raw)


@pytest.mark.parametrize(
    ("name", "values", "raw"),
    [
        ("activation", ["gelu", "swiglu"], {}),
        ("activation", ["geglu", "swiglu"], {}),
        ("norm", ["layer", "dyt"], {}),
        ("norm", ["layer", "rms", "none"], {}),
        ("norm_affine", [True, False], {}),
        ("placement", ["pre", "sandwich"], {}),
        ("position", ["learned", "rope"], {}),
        ("tied_head", [True, False], {}),
        ("bias", [True, False], {}),
        ("qk_norm", [True, False], {}),
        ("n_heads", [2, 4], {"model": {"qk_norm": True}}),
        ("n_heads", [2, 4], {"factors": {"model.qk_norm": [False, True]}}),
        ("d_ff", [256, 512], {}),
        ("d_model", [64, 128], {"module": OWN}),
    ],
)
def test_what_changes_the_size_of_a_model_is_not_searched(name, values, raw):
    [(key, problem)] = searching({f"model.{name}": values}, **raw).items()
    assert key == f"protocol.search.values.model.{name}"
    assert "neither size nor budget" in problem.allowed
    assert "vary it as a factor" in problem.remedy


def test_sizes_that_only_two_keys_together_change_are_seen():
    raw = {"model": {"norm": "none"}}
    norms, placements = {"model.norm": ["layer", "rms"]}, {"model.placement": ["pre", "sandwich"]}
    assert searching(norms, **raw) == searching(placements, **raw) == {}
    assert len(searching(norms | placements, **raw)) == 2


@pytest.mark.parametrize(
    ("name", "values", "raw"),
    [
        ("activation", ["relu", "gelu"], {}),
        ("activation", ["geglu", "swiglu"], {"model": {"activation": "glu"}}),
        ("norm", ["layer", "rms"], {}),
        ("initialization", ["gpt2", "xavier"], {}),
        ("dropout", [0.1, 0.2], {}),
        ("n_heads", [2, 4], {}),
        ("bias", [True, False], {"module": OWN}),
    ],
)
def test_what_leaves_the_size_alone_is_searched(name, values, raw):
    assert searching({f"model.{name}": values}, **raw) == {}
