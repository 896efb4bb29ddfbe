"""The second stage of a plan: which runs fine-tune which models, and by which keys."""

import shutil
from pathlib import Path

import pytest
import yaml

from studies.errors import AblationError, InvalidStudy
from studies.expected_runs import expected_runs
from studies.finetuning_plan import finetunings
from studies.loading import load_study, read_yaml
from studies.planning import make_plan
from studies.records import Outcome, RunRecord
from studies.search import advance
from studies.tasks import TASKS, task_path

TASK = {
    "form": "classification",
    "train": "train.tsv",
    "evaluation": "test.tsv",
    "header": False,
    "texts": ["1"],
    "label": "2",
    "labels": [0, 1],
    "metric": "accuracy",
}
SWEEP = {"search": {"kind": "sweep", "values": {"training.learning_rate": [0.001, 0.003]},
                    "seeds": 1, "extend": 0}}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for part in ("train", "test"):
            (tmp_path / name / f"{part}.tsv").write_text(f"{name} {part}\t1\nother\t0\n")
    return tmp_path


def planned(folder, **changes):
    finetuning = {"tasks": {name: {**TASK, "source": name} for name in ("one", "two")}}
    study = {
        "name": "second-stage",
        "factors": {"model.activation": ["gelu", "swiglu"]},
        "seeds": 2,
        **changes,
        "finetuning": {**finetuning, **changes.get("finetuning", {})},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return make_plan(load_study(str(path)).study)


def places(plan):
    return [f"{run.variant}/{run.place}" for run in plan.finetuning_runs]


def test_each_compared_run_is_fine_tuned_on_each_task_seed_by_seed(folder):
    plan = planned(folder)
    assert places(plan) == [
        f"{v}/{seed}+{t}" for seed in (0, 1) for v in ("gelu", "swiglu") for t in ("one", "two")
    ]
    keys = {run.run_key for run in plan.runs}
    assert {run.parent for run in plan.finetuning_runs} == keys
    assert len(plan.run_keys) == len(plan.all_runs) == 12
    for run in plan.finetuning_runs:
        spec = plan.spec(run)
        assert spec.run_key == run.run_key
        assert spec.parent.run_key == run.parent
        assert spec.finetuning.seed == run.seed


def test_pre_training_is_what_it_is_without_a_second_stage(folder):
    plan = planned(folder)
    alone = plan.without_finetuning()
    assert not alone.finetuning_runs
    without = planned(folder, finetuning={"tasks": {}})
    assert plan.runs == alone.runs == without.runs
    assert plan.cells == without.cells


def test_factors_of_fine_tuning_make_no_cells(folder):
    factors = {
        "finetuning.auxiliary_weight": [0.5, 0],
        "model.activation": ["gelu", "swiglu"],
        "finetuning.pretrained": [True, False],
    }
    plan = planned(folder, factors=factors, seeds=1, finetuning={"task": "one"})
    assert plan.combinations == len(plan.cells) == len(plan.runs) == 2
    assert not plan.merged
    assert [set(cell.levels) for cell in plan.cells] == [{"model.activation"}] * 2
    assert len(plan.finetuning_runs) == 8
    arms = {arm.arm: arm.levels for arm in plan.arms}
    assert list(arms)[:2] == [
        "auxiliary_weight=0.5-pretrained=on", "auxiliary_weight=0.5-pretrained=off"
    ]  # fmt: skip
    assert arms["auxiliary_weight=0-pretrained=off"] == {
        "finetuning.auxiliary_weight": 0,
        "finetuning.pretrained": False,
    }
    scratch = [run for run in plan.finetuning_runs if "pretrained=off" in run.arm]
    assert {run.parent for run in scratch} == {None}
    assert {plan.spec(run).parent for run in scratch} == {None}
    assert plan.levels_of(scratch[0])["finetuning.pretrained"] is False


def test_one_at_a_time_swaps_fine_tuning_too(folder):
    design = {
        "kind": "one_at_a_time",
        "baseline": {"model.activation": "gelu", "finetuning.auxiliary_weight": 0.5},
    }
    factors = {"model.activation": ["gelu", "swiglu"], "finetuning.auxiliary_weight": [0.5, 0]}
    plan = planned(folder, design=design, factors=factors, finetuning={"task": "one"})
    assert {(a.variant, a.arm) for a in plan.arms} == {
        ("gelu", "auxiliary_weight=0.5"),
        ("swiglu", "auxiliary_weight=0.5"),
        ("gelu", "auxiliary_weight=0"),
    }
    assert plan.baseline == "gelu"


def test_tasks_are_a_factor_like_any_other(folder):
    cells = [
        {"model.activation": "gelu", "finetuning.task": "one"},
        {"model.activation": "swiglu", "finetuning.task": "two"},
    ]
    plan = planned(folder, factors={}, design={"kind": "list", "cells": cells})
    assert [(arm.variant, arm.task, arm.arm) for arm in plan.arms] == [
        ("gelu", "one", ""), ("swiglu", "two", "")
    ]  # fmt: skip


def test_an_exclusion_of_one_way_leaves_the_cell(folder):
    factors = {"model.activation": ["gelu", "swiglu"], "finetuning.pretrained": [True, False]}
    when = {"model.activation": "swiglu", "finetuning.pretrained": False}
    plan = planned(folder, factors=factors, exclude=[{"when": when, "because": "it is slow"}])
    assert len(plan.cells) == 2
    assert not plan.excluded
    assert {(a.variant, a.arm) for a in plan.arms} == {
        ("gelu", "pretrained=on"), ("gelu", "pretrained=off"), ("swiglu", "pretrained=on")
    }  # fmt: skip


def test_several_seeds_of_fine_tuning_are_runs_of_their_own(folder):
    plan = planned(folder, seeds=1, finetuning={"seeds": 3, "task": "one"})
    assert places(plan)[:3] == ["gelu/0+one", "gelu/0+one+seed=1", "gelu/0+one+seed=2"]
    specs = [plan.spec(run) for run in plan.finetuning_runs[:3]]
    assert len({spec.run_key for spec in specs}) == 3
    assert len({spec.cell_key for spec in specs}) == 1
    assert {spec.parent.run_key for spec in specs} == {plan.runs[0].run_key}


def test_another_content_is_another_run_and_another_place_is_not(folder):
    before = planned(folder)
    moved = folder / "moved"
    moved.mkdir()
    for name in ("one", "two"):
        shutil.copytree(folder / name, moved / name)
    assert planned(moved).run_keys == before.run_keys
    (folder / "one" / "train.tsv").write_text("changed\t1\nother\t0\n")
    after = planned(folder)
    kept = before.run_keys & after.run_keys
    assert {run.task for run in before.all_runs if run.run_key in kept} == {None, "two"}


def test_a_pinned_digest_refuses_other_files(folder):
    digest = planned(folder).tasks["one"].source_digest
    tasks = {"one": {**TASK, "source": "one", "source_digest": digest}}
    assert planned(folder, finetuning={"tasks": tasks}).tasks["one"].source_digest == digest
    (folder / "one" / "test.tsv").write_text("changed\t1\nother\t0\n")
    with pytest.raises(AblationError, match="they changed"):
        planned(folder, finetuning={"tasks": tasks})


def test_a_file_that_is_not_there_is_told(folder):
    (folder / "one" / "test.tsv").unlink()
    with pytest.raises(AblationError, match=r"finetuning.tasks.one: there is no file .*test.tsv"):
        planned(folder)


def test_with_a_search_the_chosen_runs_are_fine_tuned_once_there_is_a_choice(folder):
    plan = planned(folder, protocol=SWEEP, finetuning={"task": "one"})
    assert plan.arms
    assert not plan.finetuning_runs
    losses = {run.run_key: 2.0 + run.settings.get("training.learning_rate", 0) for run in plan.runs}

    def record(key):
        summary = {"summary/val_loss": losses.get(key, 2.0), "summary/val_loss_initial": 5.0}
        return RunRecord(
            run_key=key, study="s", variant="v", seed=0, levels={}, attempt=0,
            outcome=Outcome.COMPLETED, summary=summary,
        )  # fmt: skip

    chosen = advance(plan, record, lambda *_: [])
    tuned = {run.run_key for run in chosen.runs if "tuned" in chosen.columns_of(run)}
    assert {run.parent for run in chosen.finetuning_runs} == tuned
    assert len(chosen.finetuning_runs) == 4 == finetunings(plan)


@pytest.mark.parametrize("protocol", [{}, SWEEP])
def test_fine_tunings_are_expected_before_and_after_a_search(folder, protocol):
    seeds = {"seeds": 3, "task": "one"}
    plan = planned(folder, protocol=protocol, finetuning=seeds)
    expected = [runs for runs in expected_runs(plan) if runs.arm]
    assert {runs.stage for runs in expected} == {"finetuning"}
    assert sum(runs.count for runs in expected) == finetunings(plan) == 2 * 2 * 3
    assert expected_runs(plan)[-len(expected) :] == expected  # after all others
    assert not any(runs.arm for runs in expected_runs(plan.without_finetuning()))
    ended = {run.run_key for run in plan.finetuning_runs[:5]}
    left = sum(runs.count for runs in expected_runs(plan, ended) if runs.arm)
    assert left == finetunings(plan) - len(ended)


def test_each_way_of_fine_tuning_is_expected_by_itself(folder):
    weights = {"finetuning.auxiliary_weight": [0.5, 0]}
    found = expected_runs(planned(folder, factors=weights))
    assert [(runs.arm.task, runs.arm.arm, runs.count) for runs in found if runs.arm] == [
        ("one", "auxiliary_weight=0.5", 2),
        ("two", "auxiliary_weight=0.5", 2),
        ("one", "auxiliary_weight=0", 2),
        ("two", "auxiliary_weight=0", 2),
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"finetuning": {"tasks": {}}, "factors": {"finetuning.pretrained": [True, False]}},
            "name tasks in finetuning.tasks",
        ),
        ({"finetuning": {"task": "tow"}}, "did you mean 'two'?"),
        ({"factors": {"finetuning.task": ["one", "tow"]}}, "did you mean 'two'?"),
        ({"execution": {"devices": 2}}, "a run fine-tunes on one device"),
        ({"module": {"import_path": "a.b:C"}, "factors": {}}, "the built-in GPT"),
        (
            {
                "factors": {"finetuning.pretrained": [True, False]},
                "report": {"baseline": {"finetuning.pretrained": True}},
            },
            "the loss is measured before fine-tuning",
        ),
        ({"finetuning": {"epochs": 0}}, "greater than or equal to 1"),
        ({"finetuning": {"tasks": {"one": {**TASK, "source": "nowhere"}}}}, "a folder that exists"),
        ({"finetuning": {"tasks": {"sst2": {}}}}, "finetuning.tasks.sst2.source"),
        ({"finetuning": {"tasks": {"a.b": {**TASK, "source": "one"}}}}, "rename it"),
    ],
)
def test_what_cannot_be_meant_is_told(folder, changes, told):
    with pytest.raises(InvalidStudy) as error:
        planned(folder, **changes)
    assert told in str(error.value)


def examples():
    """The studies in the documentation of the second stage."""
    text = (Path(__file__).parents[2] / "docs" / "fine-tuning.md").read_text()
    return [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]


def test_the_example_of_the_documentation_is_a_study(tmp_path):
    raw = yaml.safe_load(examples()[0])
    raw["data"]["corpus"] = "python-docs"
    for name, task in raw["finetuning"]["tasks"].items():
        entry = {**(read_yaml(task_path(name)) if name in TASKS else {}), **task}
        for part in ("train", "evaluation"):
            file = tmp_path / entry["source"] / entry[part]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw))
    plan = make_plan(load_study(str(path)).study)
    assert (len(plan.runs), len(plan.finetuning_runs)) == (20, 60)


def test_the_ablations_of_the_documentation_are_a_design(folder):
    plan = planned(folder, **yaml.safe_load(examples()[1]))
    assert len(plan.cells) == 1
    assert [arm.arm for arm in plan.arms if arm.task == "one"] == [
        "pretrained=on-auxiliary_weight=0.5",
        "pretrained=off-auxiliary_weight=0.5",
        "pretrained=on-auxiliary_weight=0",
    ]
