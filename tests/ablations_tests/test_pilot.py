"""How differences scatter, from records of a study's own runs and of pilots."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest

from ablations.ended_runs import new_record
from ablations.pilot import known_spread, pilot_settings
from ablations.run_directory import StudyDirectory
from studies.loading import load_study
from studies.metrics import FINAL_LOSS
from studies.plan import Choice, Plan, PlannedRun
from studies.planning import make_plan
from studies.records import Outcome
from studies.run_list import with_runs
from tests.studies_tests.helpers import plan_of

NORMS = {"model.norm": ["layer", "rms", "none"]}
LOSSES = {"layer": [2.0, 2.1, 2.3], "rms": [2.1, 2.1, 2.2], "none": [2.9, 2.5, 3.3]}


@pytest.fixture
def directory(tmp_path) -> StudyDirectory:
    return StudyDirectory(tmp_path, "some")


def plan_with(seeds=3, steps=100, **raw) -> Plan:
    training = {"max_steps": steps, "warmup_steps": 0}
    return plan_of(factors=NORMS, seeds=seeds, training=training, **raw)


def record(directory: StudyDirectory, plan: Plan, losses=LOSSES, outcomes=()) -> None:
    """End every run of the report at the shared values, as its losses say."""
    for run in plan.runs:
        if run.stage == "search" or run.settings:
            continue
        outcome = dict(outcomes).get((run.variant, run.seed), Outcome.COMPLETED)
        write(directory, plan, run, losses[run.variant][run.seed], outcome)


def write(directory, plan: Plan, run: PlannedRun, loss, outcome=Outcome.COMPLETED) -> None:
    found = new_record(plan, run, 0, outcome)
    folder = directory.run(run.run_key)
    folder.path.mkdir(parents=True)
    text = found.model_copy(update={"summary": {FINAL_LOSS: loss}}).model_dump_json()
    folder.record_path.write_text(text)


def sd(variant, seeds=(0, 1, 2)) -> float:
    return statistics.stdev(LOSSES[variant][s] - LOSSES["layer"][s] for s in seeds)


def test_the_spread_of_a_studys_own_runs(directory):
    plan = plan_with()
    assert known_spread(plan, directory) is None
    record(directory, plan)
    found = known_spread(plan, directory)
    assert found.sd == pytest.approx(np.sqrt((sd("rms") ** 2 + sd("none") ** 2) / 2))
    assert (found.least, found.most) == pytest.approx((sd("rms"), sd("none")))
    assert (found.variants, found.seeds, found.source) == (
        2,
        3,
        f"runs of this study in {directory.path}",
    )
    assert known_spread(plan_with(seeds=20), directory) == found


def test_runs_without_a_final_loss_and_single_pairs_do_not_count(directory):
    diverged, failed = (("none", 0), Outcome.DIVERGED), (("none", 2), Outcome.FAILED)
    record(directory, plan_with(), outcomes=[diverged, failed])
    found = known_spread(plan_with(), directory)
    assert (found.variants, found.sd) == (1, pytest.approx(sd("rms")))


def test_variants_with_more_seeds_count_for_more(directory):
    record(directory, plan_with(), outcomes=[(("none", 2), Outcome.DIVERGED)])
    found = known_spread(plan_with(), directory)
    pooled = (2 * sd("rms") ** 2 + sd("none", (0, 1)) ** 2) / 3
    assert found.sd == pytest.approx(np.sqrt(pooled))
    assert found.seeds == 3


def test_one_seed_has_no_spread(directory):
    record(directory, plan_with(seeds=1))
    assert known_spread(plan_with(), directory) is None


def test_seeds_that_are_no_longer_asked_for_count_too(directory):
    record(directory, plan_with())
    assert known_spread(plan_with(seeds=1), directory) is None
    directory.save_plan(plan_with(), "")
    found = known_spread(plan_with(seeds=1), directory)
    assert found.seeds == 3
    assert found == known_spread(plan_with(), directory)


def test_a_pilot_stands_in_until_the_study_has_runs(directory):
    pilot = StudyDirectory(directory.path.parent, "some-pilot")
    record(pilot, plan_with(steps=20))
    assert known_spread(plan_with(), directory) is None
    pilot.save_plan(plan_with(steps=20), "")
    found = known_spread(plan_with(), directory)
    assert found.source == f"the pilot in {pilot.path} with training.max_steps = 20"
    assert found.seeds == 3
    assert known_spread(plan_with(steps=20), directory).source == f"the pilot in {pilot.path}"
    record(directory, plan_with())
    assert known_spread(plan_with(), directory).source.startswith("runs of this study")


def test_a_pilot_is_a_study_that_nothing_of_the_other_is_in(tmp_path):
    search = {"kind": "sweep", "values": {"training.learning_rate": [1e-3, 3e-3]}, "seeds": 2}
    protocol = {"search": search, "pruning": {"stage": "search"}}
    sides = {"of": {"model.norm": "rms"}, "against": {"model.norm": "layer"}}
    hypothesis = {"claim": "it is so", "direction": "lower", "seeds": 5, **sides}
    raw = {"factors": NORMS, "seeds": 5, "protocol": protocol, "hypotheses": {"h": hypothesis}}
    file = tmp_path / "some.yaml"
    file.write_text(json.dumps({"name": "some", "question": "Which?", **raw}))
    loaded = load_study(str(file), pilot_settings("some", 2))
    pilot, whole = make_plan(loaded.study), make_plan(load_study(str(file)).study)
    assert pilot.study.name == "some-pilot"
    assert len(pilot.runs) == 3 * 2
    assert not pilot.run_keys & whole.run_keys
    assert not set(pilot.study.seeds) & {*whole.study.seeds, *search_seeds(whole)}


def search_seeds(plan: Plan) -> set[int]:
    return {run.seed for run in plan.runs if run.stage == "search"}


def test_a_pilot_without_the_baseline_says_nothing(directory):
    pilot = StudyDirectory(directory.path.parent, "some-pilot")
    record(pilot, plan_with())
    pilot.save_plan(plan_with(), "")
    other = plan_of(factors={"model.norm": ["group", "rms"]})
    assert known_spread(other, directory) is None


def test_once_a_search_has_chosen_the_spread_is_of_the_runs_at_chosen_values(directory):
    search = {"kind": "sweep", "values": {"training.learning_rate": [1e-3, 3e-3]}, "seeds": 2}
    plan = plan_with(protocol={"search": search})
    chosen = Choice(settings={"training.learning_rate": 3e-3}, trial=1, loss=2.0, edges={})
    settled = with_runs(plan.model_copy(update={"choices": dict.fromkeys(LOSSES, chosen)}))
    directory.save_plan(settled, "")
    for run in settled.runs:
        if run.stage == "report":
            loss = LOSSES[run.variant][run.seed] + (run.seed % 2 if run.settings else 0.0)
            loss -= 2 * (run.variant == "layer") * (run.seed % 2) if run.settings else 0.0
            write(directory, settled, run, loss)
    found = known_spread(plan, directory)
    assert (
        found.source
        == f"runs of this study at the values that its search chose in {directory.path}"
    )
    assert found.sd > 2 * sd("none")


def test_runs_at_values_of_a_search_do_not_count(directory):
    search = {"kind": "sweep", "values": {"training.learning_rate": [1e-3, 3e-3]}, "seeds": 2}
    plan = plan_with(protocol={"search": search})
    for run in plan.runs:
        assert (run.stage == "search") == bool(run.settings)
    record(directory, plan)
    assert known_spread(plan, directory).seeds == 3
