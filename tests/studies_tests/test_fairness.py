"""Equal sizes and equal budgets: what a plan gives its variants."""

from __future__ import annotations

import pytest

from studies.budgets import seen_tokens, training_tokens
from studies.errors import AblationError
from studies.estimates import estimate
from studies.fairness import (
    budget_difference,
    budget_unit,
    mismatched,
    require_fair,
    size_of,
    unequal_budgets,
)
from studies.matching import matched_width
from studies.schema import ModelConfig
from tests.studies_tests.helpers import plan_of

GATED = {"model.activation": ["gelu", "swiglu"]}


def widths(**raw):
    plan = plan_of(factors=GATED, **raw)
    return [cell.configuration["model"]["d_ff"] for cell in plan.cells]


@pytest.mark.parametrize(
    ("match", "expected"),
    [("parameters", [512, 341]), ("flops", [512, 341]), ("none", [512, 512])],
)
def test_the_hidden_width_follows_from_what_is_matched(match, expected):
    assert widths(protocol={"match": match}) == expected


def test_a_given_width_is_that_of_the_ungated():
    assert widths(model={"d_ff": 300}) == [300, 200]


@pytest.mark.parametrize("d_model", [8, 64, 100, 256])
@pytest.mark.parametrize("d_ff", [None, 30, 301])
@pytest.mark.parametrize("bias", [False, True])
def test_no_other_width_is_nearer_in_parameters(d_model, d_ff, bias):
    plain = ModelConfig(d_model=d_model, d_ff=d_ff, bias=bias, activation="relu", n_heads=2)
    gated = plain.model_copy(update={"activation": "swiglu"})
    target = estimate(plain, 65).parameters

    def distance(width):
        return abs(estimate(gated.model_copy(update={"d_ff": width}), 65).parameters - target)

    best = matched_width(gated, "parameters")
    assert distance(best) <= min(distance(best - 1) if best > 1 else 1e9, distance(best + 1))


def test_levels_name_the_width_that_was_asked_for():
    plan = plan_of(factors={"model.d_ff": [300, 600], **GATED})
    assert {cell.levels["model.d_ff"] for cell in plan.cells} == {300, 600}
    assert plan.cell("d_ff=300-swiglu").configuration["model"]["d_ff"] == 200


def test_sizes_are_held_against_the_baseline():
    plan = plan_of(factors={"model.n_layers": [2, 4]})
    size = size_of(plan, plan.cells[1])
    assert size.achieved == plan.cells[1].parameters
    assert size.target == plan.cells[0].parameters
    assert size.deviation == pytest.approx(plan.cells[1].parameters / size.target - 1)
    assert set(mismatched(plan)) == {"n_layers=4"}
    assert require_fair(plan) is None


def test_a_mismatch_is_refused_where_that_is_wanted():
    protocol = {"beyond_tolerance": "refuse"}
    plan = plan_of(factors={"model.n_layers": [2, 4]}, protocol=protocol)
    with pytest.raises(AblationError, match=r"n_layers=4 has \+\d+\.\d% parameters"):
        require_fair(plan)
    require_fair(plan_of(factors=GATED, protocol=protocol))


def test_nothing_matched_nothing_missed():
    plan = plan_of(factors={"model.n_layers": [2, 4]}, protocol={"match": "none"})
    assert mismatched(plan) == {}
    assert size_of(plan, plan.cells[1]) is None


def test_unequal_budgets_are_refused_unless_somebody_says_why():
    factors = {"training.max_steps": [200, 400]}
    with pytest.raises(AblationError, match=r"max_steps=200 has 204,800 training tokens.*409,600"):
        require_fair(plan_of(factors=factors))
    require_fair(plan_of(factors=factors, protocol={"unequal_budgets": "the budget is asked for"}))


def test_equal_tokens_are_equal_budgets_whatever_the_batch():
    raw = {"factors": {"training.batch_size": [8, 16, 24]}}
    assert unequal_budgets(plan_of(**raw))
    assert unequal_budgets(plan_of(**raw, protocol={"budget": {"tokens": 1e6}})) is None


def test_a_factor_that_sets_the_budget_is_named_with_it():
    batches = {"training.batch_size": [8, 16], "model.norm": ["rms", "layer"]}
    assert "The batch size sets the budget" in budget_difference(plan_of(factors=batches))
    both = {**batches, "training.max_steps": [200, 400]}
    assert "The batch size and max steps set the budget" in budget_difference(plan_of(factors=both))
    assert budget_difference(plan_of(factors=batches, protocol={"budget": {"tokens": 1e6}})) is None


def test_of_factors_that_move_together_none_sets_the_budget_alone():
    plan = plan_of(factors={"training.batch_size": [8, 16], "model.norm": ["rms", "layer"]})
    plan = plan.model_copy(update={"cells": (plan.cells[0], plan.cells[-1])})
    assert budget_difference(plan).endswith(
        "training tokens, batch_size=16-layer has 1,024,000. "
        "A difference between variants holds what that does to the loss as well."
    )


def test_a_budget_in_flops_is_compared_in_flops():
    raw = {"factors": {"model.n_layers": [2, 4]}}
    assert unequal_budgets(plan_of(**raw, protocol={"budget": {"flops": 1e13}})) is None
    assert unequal_budgets(plan_of(**raw)) is None


def test_a_budget_in_minutes_is_compared_in_minutes():
    raw = {"factors": {"model.n_layers": [2, 4], "training.batch_size": [8, 16]}}
    plan = plan_of(**raw, protocol={"budget": {"minutes": 5}})
    assert unequal_budgets(plan) is None
    assert budget_unit(plan) == "minutes of training"
    short, *others = plan.cells
    less = {**short.configuration, "training": {**short.configuration["training"]}}
    less["training"]["max_minutes"] = 4.0
    cells = (short.model_copy(update={"configuration": less}), *others)
    difference = unequal_budgets(plan.model_copy(update={"cells": cells}))
    assert "n_layers=2-batch_size=8 has 4 minutes of training" in difference


def test_the_tokens_of_runs_of_minutes_are_known_when_they_have_ended():
    [cell] = plan_of(protocol={"budget": {"minutes": 5}}).cells
    assert training_tokens(cell.configuration) is None
    assert seen_tokens(cell.configuration, []) is None
    assert seen_tokens(cell.configuration, [100, 300]) == 200 * 16 * 64


HELD = {"initialization_seed": 0, "data_seed": 0}
OWN = {"import_path": "some.module:Own"}
DROPOUT = {"kind": "sweep", "values": {"model.dropout": [0.1, 0.2]}}


@pytest.mark.parametrize(
    ("raw", "variants"),
    [
        ({"training": HELD, "seeds": 3}, "base"),
        ({"training": {**HELD, "dropout_seed": 0}, "model": {"dropout": 0.1}}, "base"),
        ({"training": {**HELD, "dropout_seed": 0}, "module": OWN}, "base"),
        ({"training": HELD, "factors": {"model.dropout": [0.1, 0.0]}}, "dropout=0:"),
        (
            {"factors": {f"training.{axis}_seed": [0, 1] for axis in ("initialization", "data")}},
            "initialization_seed=0-data_seed=0, initialization_seed=0-data_seed=1",
        ),
        (
            {
                "training": {"data_seed": 0},
                "factors": {"training.initialization_seed": [*range(7)]},
            },
            "initialization_seed=4 and 2 more",
        ),
        ({"training": HELD, "protocol": {"search": DROPOUT}}, "base"),
        (
            {
                "training": HELD,
                "protocol": {"search": {"kind": "sweep", "values": {"model.dropout": [0, 0.1]}}},
                "model": {"dropout": 0.1},
                "seeds": 1,
            },
            "base",
        ),
    ],
)
def test_seeds_that_change_nothing_are_no_repetitions(raw, variants):
    with pytest.raises(AblationError, match=f"change nothing in .*{variants}.*Set seeds: 1"):
        require_fair(plan_of(**raw))


def test_weights_to_start_from_are_not_drawn(tmp_path):
    path = tmp_path / "gpt2.safetensors"
    path.write_text("weights")
    given, held = {"weights": str(path)}, {"training": {"data_seed": 0}}
    with pytest.raises(AblationError, match="change nothing in base"):
        require_fair(plan_of(model=given, **held))
    require_fair(plan_of(**held))
    require_fair(plan_of(model=given))
    require_fair(plan_of(model={**given, "dropout": 0.1}, **held))


@pytest.mark.parametrize(
    "raw",
    [
        {"training": HELD, "seeds": 1},
        {"training": {"data_seed": 0, "dropout_seed": 0}},
        {"training": {"initialization_seed": 0, "dropout_seed": 0}},
        {"training": HELD, "model": {"dropout": 0.1}},
        {"training": HELD, "module": OWN},
        {"training": HELD, "protocol": {"search": DROPOUT}, "seeds": 1},
    ],
)
def test_a_run_that_draws_from_its_seed_is_repeated_by_another(raw):
    require_fair(plan_of(**raw))
