import pytest

from studies.designs import combinations, factor_names, matches, number_of_combinations
from studies.errors import AblationError
from tests.studies_tests.helpers import plan_of, problems_of, study_of

FACTORS = {"model.activation": ["relu", "gelu", "silu"], "model.norm": ["layer", "rms"]}
BASELINE = {"model.activation": "gelu", "model.norm": "layer"}


def pairs(study):
    return [tuple(combination.values()) for combination in combinations(study)]


def test_full_factorial_is_the_product_in_order():
    study = study_of(factors=FACTORS)
    assert pairs(study) == [
        ("relu", "layer"),
        ("relu", "rms"),
        ("gelu", "layer"),
        ("gelu", "rms"),
        ("silu", "layer"),
        ("silu", "rms"),
    ]
    assert number_of_combinations(study) == 6


def test_without_factors_there_is_one_cell():
    study = study_of()
    assert combinations(study) == [{}]
    assert number_of_combinations(study) == 1
    assert [cell.variant for cell in plan_of().cells] == ["base"]


def test_swap_one_changes_one_factor_of_the_baseline():
    study = study_of(factors=FACTORS, design={"kind": "one_at_a_time", "baseline": BASELINE})
    assert pairs(study) == [
        ("gelu", "layer"),
        ("relu", "layer"),
        ("silu", "layer"),
        ("gelu", "rms"),
    ]
    assert number_of_combinations(study) == 4


def test_leave_one_out_sets_each_factor_to_its_level_without():
    study = study_of(
        factors={"model.norm": ["layer", "none"], "model.qk_norm": [True, False]},
        design={
            "kind": "one_at_a_time",
            "mode": "leave_one_out",
            "baseline": {"model.norm": "layer", "model.qk_norm": True},
            "without": {"model.norm": "none", "model.qk_norm": False},
        },
    )
    assert pairs(study) == [("layer", True), ("none", True), ("layer", False)]


def test_a_list_is_taken_as_written_and_completed_from_the_base():
    study = study_of(
        model={"norm": "rms"},
        design={
            "kind": "list",
            "cells": [{"model.activation": "relu"}, {"model.norm": "layer"}, {}],
        },
    )
    assert factor_names(study) == ("model.activation", "model.norm")
    assert pairs(study) == [("relu", "rms"), ("gelu", "layer"), ("gelu", "rms")]


def test_the_baseline_of_a_design_is_the_one_of_the_report():
    design = {"kind": "one_at_a_time", "baseline": BASELINE}
    assert plan_of(factors=FACTORS, design=design).baseline == "gelu-layer"
    report = {"baseline": {"model.activation": "relu", "model.norm": "layer"}}
    assert plan_of(factors=FACTORS, design=design, report=report).baseline == "relu-layer"


def test_a_baseline_that_is_excluded_is_an_error():
    design = {"kind": "one_at_a_time", "baseline": BASELINE}
    exclude = [{"when": BASELINE, "because": "no"}]
    with pytest.raises(AblationError, match=r"the baseline .*gelu.* is not a cell of the plan"):
        plan_of(factors=FACTORS, design=design, exclude=exclude)


@pytest.mark.parametrize(
    ("when", "left"),
    [
        ({"model.norm": "rms"}, 3),
        ({"model.activation": ["relu", "gelu"]}, 2),
        ({"model.activation": ["relu", "gelu"], "model.norm": "rms"}, 4),
    ],
)
def test_exclusions(when, left):
    plan = plan_of(factors=FACTORS, exclude=[{"when": when, "because": "we say so"}])
    assert len(plan.cells) == left
    assert plan.combinations == 6
    assert len(plan.excluded) == 6 - left
    assert {excluded.because for excluded in plan.excluded} == {"we say so"}
    assert all(matches(plan.study.exclude[0].when, e.levels) for e in plan.excluded)


def test_an_exclusion_sees_the_base_values_of_a_list():
    design = {"kind": "list", "cells": [{"model.activation": "relu"}, {"model.norm": "rms"}]}
    exclude = [{"when": {"model.norm": "layer"}, "because": "no"}]
    assert [c.variant for c in plan_of(design=design, exclude=exclude).cells] == ["gelu-rms"]


def test_an_exclusion_of_everything_is_an_error():
    exclude = [{"when": {"model.norm": ["layer", "rms"]}, "because": "no"}]
    with pytest.raises(AblationError, match="leaves no cell of 6"):
        plan_of(factors=FACTORS, exclude=exclude)


@pytest.mark.parametrize(
    ("design", "key"),
    [
        ({"kind": "one_at_a_time", "baseline": {"model.norm": "layer"}}, "design.baseline"),
        (
            {"kind": "one_at_a_time", "baseline": BASELINE | {"model.norm": "batch"}},
            "design.baseline.model.norm",
        ),
        (
            {"kind": "one_at_a_time", "baseline": BASELINE | {"model.bias": True}},
            "design.baseline.model.bias",
        ),
        (
            {"kind": "one_at_a_time", "baseline": BASELINE, "mode": "leave_one_out"},
            "design.without",
        ),
        (
            {"kind": "one_at_a_time", "baseline": BASELINE, "without": {"model.norm": "rms"}},
            "design.without",
        ),
        (
            {
                "kind": "one_at_a_time",
                "mode": "leave_one_out",
                "baseline": BASELINE,
                "without": {"model.norm": "layer", "model.activation": "relu"},
            },
            "design.without.model.norm",
        ),
        ({"kind": "list", "cells": [{"model.norm": "rms"}]}, "factors"),
        ({"kind": "one_at_a_time", "baseline": 3}, "design.baseline"),
        ({"kind": "latin_square"}, "design"),
        ({}, "design"),
        ("full-factorial", "design"),
    ],
)
def test_designs_that_are_wrong(design, key):
    assert list(problems_of(factors=FACTORS, design=design)) == [key]
