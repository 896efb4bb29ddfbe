import itertools
import json

import pytest

from studies.errors import AblationError
from studies.loading import load_study
from studies.plan import Plan
from studies.planning import make_plan
from tests.studies_tests.helpers import plan_of, study_of

ACTIVATIONS = ("relu", "gelu", "silu", "swiglu")


@pytest.fixture(scope="module")
def quickstart():
    return make_plan(load_study("quickstart").study)


def variants(plan):
    return [cell.variant for cell in plan.cells]


def test_the_default_grid_is_32_combinations_and_28_cells(quickstart):
    placed = [f"{n}-{p}" for n in ("batch", "layer", "group") for p in ("pre", "post")]
    assert quickstart.combinations == 32
    assert variants(quickstart) == [
        f"{a}-{tail}" for a in ACTIVATIONS for tail in (*placed, "none")
    ]
    assert len(quickstart.cells) == 28
    assert quickstart.excluded == ()
    assert quickstart.baseline == "gelu-layer-pre"


def test_each_merge_says_why(quickstart):
    assert [merge.into for merge in quickstart.merged] == [f"{a}-none" for a in ACTIVATIONS]
    for activation, merge in zip(ACTIVATIONS, quickstart.merged, strict=True):
        assert merge.levels == {
            "model.activation": activation,
            "model.norm": "none",
            "model.placement": "post",
        }
        assert merge.rules == ("no norm has no placement",)


def test_levels_without_meaning_are_null(quickstart):
    assert quickstart.cell("relu-none").levels == {
        "model.activation": "relu",
        "model.norm": "none",
        "model.placement": None,
    }
    assert quickstart.cell("relu-group-pre").levels["model.placement"] == "pre"
    assert quickstart.cell("relu-group-pre").configuration["model"]["norm_groups"] == 4


def test_runs_go_seed_by_seed(quickstart):
    assert [(run.seed, run.variant) for run in quickstart.runs] == list(
        itertools.product((0, 1), variants(quickstart))
    )
    assert len({run.run_key for run in quickstart.runs}) == 56


def test_a_run_is_its_spec(quickstart):
    for run in quickstart.runs:
        spec = quickstart.spec(run)
        assert spec.run_key == run.run_key
        assert spec.cell_key == quickstart.cell(run.variant).cell_key
        assert spec.seed == run.seed


def test_the_grid_is_matched_in_parameters(quickstart):
    sizes = [cell.parameters for cell in quickstart.cells]
    assert max(sizes) / min(sizes) < 1.01
    assert all(cell.flops_per_token > 0 for cell in quickstart.cells)


def test_a_plan_survives_json(quickstart):
    text = quickstart.model_dump_json()
    assert Plan.model_validate_json(text) == quickstart
    assert Plan.model_validate(json.loads(text)).runs == quickstart.runs


def test_run_keys_depend_on_what_is_run_alone():
    def keys(**changes):
        raw = {"factors": {"model.norm": ["layer", "rms"]}, "seeds": 2, **changes}
        return {run.run_key for run in plan_of(**raw).runs}

    assert keys() == keys(
        name="other",
        question="why?",
        execution={"devices": 2, "checkpoint_every_s": 0},
        factors={"model.norm": ["rms", "layer"]},
        seeds=[1, 0],
        report={"confidence": 0.9},
        exclude=[],
    )
    assert keys() == keys(model={"norm": "group"}, training={"learning_rate": 1e-3})
    assert keys() < keys(seeds=3)
    assert not keys() & keys(model={"bias": True})


def test_run_keys_do_not_depend_on_how_yaml_spells_a_number(tmp_path):
    keys = set()
    for rate in ("1e-3", "0.001", "1.0e-03", ".001", "'0.001'"):
        path = tmp_path / "study.yaml"
        path.write_text(f"name: a\nseeds: 1\ntraining: {{learning_rate: {rate}}}\n")
        [run] = make_plan(load_study(str(path)).study).runs
        keys.add(run.run_key)
    assert len(keys) == 1


def test_a_cell_has_the_same_runs_in_every_study_that_has_it():
    design = {"kind": "one_at_a_time", "baseline": {"model.norm": "layer"}}
    factors = {"model.norm": ["layer", "none"]}
    grid = plan_of(factors={**factors, "model.placement": ["pre", "post"]})
    single = plan_of(factors=factors, design=design)
    listed = plan_of(design={"kind": "list", "cells": [{"model.norm": "none"}]})
    assert {run.run_key for run in single.runs} < {run.run_key for run in grid.runs}
    assert {run.run_key for run in listed.runs} < {run.run_key for run in single.runs}


@pytest.mark.parametrize(
    ("factors", "names"),
    [
        ({"model.norm": ["layer", "rms"]}, ["layer", "rms"]),
        ({"training.learning_rate": [1e-3, 3e-4]}, ["learning_rate=0.001", "learning_rate=0.0003"]),
        ({"model.bias": [True, False]}, ["bias=on", "bias=off"]),
        ({"model.d_ff": [None, 100]}, ["d_ff=512", "d_ff=100"]),
        ({"data.tokenizer": ["bytes"]}, ["tokenizer=bytes"]),
        ({"data.corpus": ["hub:A b/ü"]}, ["corpus=hub_a_b_"]),
    ],
)
def test_names(factors, names):
    assert variants(plan_of(factors=factors)) == names


def test_levels_that_are_written_alike_get_a_part_of_the_key():
    plan = plan_of(factors={"training.weight_decay": [0.1, 0.10000001, 0.2]})
    first, second, third = plan.cells
    assert first.variant == f"weight_decay=0.1-{first.cell_key[:8]}"
    assert second.variant == f"weight_decay=0.1-{second.cell_key[:8]}"
    assert third.variant == "weight_decay=0.2"
    arguments = {"module.arguments.text": ["a b", "a_b", "x" * 50 + "1", "x" * 50 + "2"]}
    plan = plan_of(module={"import_path": "a:B"}, factors=arguments)
    assert len(set(variants(plan))) == 4
    assert max(map(len, variants(plan))) < 60


def test_a_module_of_ones_own_is_not_estimated():
    plan = plan_of(
        module={"import_path": "a:B", "arguments": {"depth": 2}},
        factors={"module.arguments.hidden": [8, 16], "model.norm": ["none"]},
    )
    assert variants(plan) == ["hidden=8-none", "hidden=16-none"]
    assert plan.cells[0].parameters is None
    assert plan.cells[0].flops_per_token is None
    assert plan.cells[1].spec(0).module.arguments == {"depth": 2, "hidden": 16}


def test_sizes_are_estimated_only_where_the_vocabulary_is_known():
    plan = plan_of(factors={"data.tokenizer": ["bytes", "bpe", "characters"]})
    assert [cell.parameters is None for cell in plan.cells] == [False, False, True]


def test_the_baseline_is_the_first_cell_unless_told():
    factors = {"model.norm": ["rms", "layer"]}
    assert plan_of(factors=factors).baseline == "rms"
    report = {"baseline": {"model.norm": "layer"}}
    assert plan_of(factors=factors, report=report).baseline == "layer"


def test_the_baseline_is_found_through_a_merge():
    report = {"baseline": {"model.norm": "none", "model.placement": "post"}}
    factors = {"model.norm": ["none", "layer"], "model.placement": ["pre", "post"]}
    assert plan_of(factors=factors, report=report).baseline == "none"


def test_a_baseline_that_is_no_cell():
    factors = {"model.norm": ["rms", "layer"], "model.placement": ["pre", "post"]}
    exclude = [{"when": {"model.norm": "layer", "model.placement": "post"}, "because": "no"}]
    report = {"baseline": {"model.norm": "layer", "model.placement": "post"}}
    with pytest.raises(AblationError, match=r"not a cell of the plan\. Name the levels of one of"):
        plan_of(factors=factors, exclude=exclude, report=report)


def test_a_cell_that_is_listed_twice_is_merged():
    plan = plan_of(design={"kind": "list", "cells": [{"model.norm": "rms"}, {"model.norm": "rms"}]})
    assert variants(plan) == ["rms"]
    assert plan.merged[0].rules == ("the same configuration twice",)


def test_overrides_are_kept():
    plan = make_plan(study_of(), {"training.max_steps": 1000})
    assert plan.overrides == {"training.max_steps": 1000}


def test_a_null_that_was_chosen_is_a_level():
    plan = plan_of(factors={"training.gradient_clip_norm": [1.0, None]})
    assert [cell.levels["training.gradient_clip_norm"] for cell in plan.cells] == [1.0, "null"]


def test_where_the_norm_is_no_factor_the_placement_says_that_there_is_none():
    plan = plan_of(factors={"model.placement": ["pre", "none"], "model.norm_eps": [1e-5, 1e-6]})
    assert [(cell.variant, *cell.levels.values()) for cell in plan.cells] == [
        ("pre-norm_eps=1e-05", "pre", 1e-5),
        ("pre-norm_eps=1e-06", "pre", 1e-6),
        ("none", "none", None),
    ]


def test_a_plan_takes_over_what_only_a_report_reads():
    factors = {"model.norm": ["layer", "rms"], "model.placement": ["pre", "post"]}
    stored = plan_of(factors=factors, seeds=2)
    report = {"baseline": {"model.norm": "rms", "model.placement": "post"}, "confidence": 0.9}
    asked = {"question": "Why?", "report": report, "execution": {"devices": 2}}
    reported = stored.reported_as(plan_of(factors=factors, seeds=[1, 0], **asked))
    assert reported.baseline == "rms-post"
    assert (reported.study.question, reported.study.report.confidence) == ("Why?", 0.9)
    kept = {"baseline": stored.baseline, "study": stored.study}
    assert reported.model_copy(update=kept) == stored
    assert reported.study.execution == stored.study.execution
    assert reported.study.seeds == stored.study.seeds


def test_a_plan_of_other_runs_takes_over_nothing():
    stored = plan_of(factors={"model.norm": ["layer", "rms"]}, seeds=2)
    assert stored.reported_as(plan_of(factors={"model.norm": ["layer", "rms"]}, seeds=3)) is None
    assert stored.reported_as(plan_of(factors={"model.norm": ["layer"]}, seeds=2)) is None
