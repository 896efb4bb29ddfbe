"""What a study file may say of pruning, and what follows for its search."""

from __future__ import annotations

import math

import pytest

from studies.metrics import INITIAL_LOSS, LAST_VALIDATION_LOSS
from studies.plan import Plan, PlannedRun
from studies.protocol import Pruning
from studies.pruners import PRUNERS
from studies.pruning import fewest_seeds
from studies.records import Outcome, RunRecord
from studies.run_spec import digest
from studies.search import advance, take_up
from studies.tried import NEVER_FINITE, Tried, clipped_loss
from tests.studies_tests.helpers import plan_of, problems_of, study_of
from tests.studies_tests.test_search import RATE, SWEEP, TUNE, record, searching

OPTIONS = "protocol.pruning.options"


def pruned_study(pruner: str, search=SWEEP, seeds: int = 2, stage: str = "search", **options):
    pruning = {"pruner": pruner, "options": options, "stage": stage}
    return {"protocol": {"search": search, "pruning": pruning}, "seeds": seeds}


def test_nothing_is_pruned_by_default():
    assert study_of().protocol.pruning is None
    plan = plan_of(protocol={"search": SWEEP})
    assert not any(plan.prunes(run) for run in plan.runs)
    assert study_of(**pruned_study("median")).protocol.pruning == Pruning()


def test_a_stage_is_pruned_and_the_other_is_not():
    for stage in ("search", "report"):
        plan = plan_of(**pruned_study("median", stage=stage))
        assert {run.stage for run in plan.runs if plan.prunes(run)} == {stage}


@pytest.mark.parametrize(
    ("raw", "key", "says"),
    [
        (pruned_study("medain"), "protocol.pruning.pruner", "did you mean 'median'"),
        (pruned_study("median", n_startup_trial=3), f"{OPTIONS}.n_startup_trial",
         "did you mean 'n_startup_trials'"),
        (pruned_study("median", percentile=3), f"{OPTIONS}.percentile", "options of median: n_st"),
        (pruned_study("median", n_startup_trials=True), f"{OPTIONS}.n_startup_trials", "whole"),
        (pruned_study("median", n_startup_trials=2.5), f"{OPTIONS}.n_startup_trials", "whole"),
        (pruned_study("median", interval_steps=0), f"{OPTIONS}.interval_steps", ">= 1"),
        (pruned_study("percentile"), OPTIONS, "a value of percentile"),
        (pruned_study("percentile", percentile=101), f"{OPTIONS}.percentile", "<= 100"),
        (pruned_study("threshold"), OPTIONS, "lower or upper"),
        (pruned_study("threshold", lower=5, upper=2), f"{OPTIONS}.lower", "at most upper (2)"),
        (pruned_study("patient"), OPTIONS, "patience"),
        (pruned_study("patient", patience=1, wrapped_pruner="medain"),
         f"{OPTIONS}.wrapped_pruner", "did you mean 'median'"),
        (pruned_study("patient", patience=1, wrapped_pruner="wilcoxon"),
         f"{OPTIONS}.wrapped_pruner", "median or percentile"),
        (pruned_study("patient", patience=1, wrapped_pruner="percentile"), OPTIONS, "percentile"),
        (pruned_study("hyperband", max_resource="lots"), f"{OPTIONS}.max_resource", "or auto"),
        (pruned_study("hyperband", min_resource=9, max_resource=3), f"{OPTIONS}.max_resource",
         "at least min_resource (9)"),
        (pruned_study("hyperband", min_resource=9, bootstrap_count=3),
         f"{OPTIONS}.bootstrap_count", "0 where the resource is auto"),
        (pruned_study("median", search="fixed"), "protocol.pruning.stage", "report"),
        (pruned_study("wilcoxon"), "protocol.search.seeds", "at least 5 seeds"),
        (pruned_study("wilcoxon", stage="report", seeds=4), "seeds", "at least 5 seeds"),
        (pruned_study("wilcoxon", stage="report", seeds=9, n_startup_steps=9), "seeds",
         "at least 10 seeds"),
        (pruned_study("wilcoxon", stage="report", p_threshold=0), f"{OPTIONS}.p_threshold",
         "above 0"),
    ],
)  # fmt: skip
def test_what_is_refused(raw, key, says):
    problems = problems_of(**raw)
    assert list(problems) == [key]
    assert says in str(problems[key])


@pytest.mark.parametrize(
    "raw",
    [
        pruned_study("median", search="fixed", stage="report"),
        pruned_study("patient", patience=1, wrapped_pruner="percentile", percentile=25.0),
        pruned_study("successive_halving", min_resource=5, bootstrap_count=2),
        pruned_study("threshold", upper=4),
        pruned_study("wilcoxon", search={**SWEEP, "seeds": 5}),
        pruned_study("wilcoxon", stage="report", seeds=3, p_threshold=0.3),
    ],
)
def test_what_is_allowed(raw):
    assert problems_of(**raw) == {}


def test_fewest_seeds_by_the_least_p_of_so_many_pairs():
    for threshold in (0.5, 0.25, 0.1, 0.05, 0.01):
        pairs = int(fewest_seeds({"p_threshold": threshold})) - 1
        assert 2.0**-pairs < threshold
        assert pairs == 2 or 2.0 ** -(pairs - 1) >= threshold
    assert fewest_seeds({"p_threshold": 0}) == math.inf


def test_every_pruner_has_options_that_take_something():
    for pruner in PRUNERS.values():
        assert set(pruner.needs) <= pruner.options.keys()
        assert all(option.number or option.words for option in pruner.options.values())


def partial(run: PlannedRun, last: float | None) -> RunRecord:
    """A pruned run, with its last validation loss, or one that was given up before it began."""
    summary = {} if last is None else {INITIAL_LOSS: 5.0, LAST_VALIDATION_LOSS: last}
    update = {"summary": summary, "pruned_by": digest(Pruning().model_dump(mode="json"))}
    return record(run, None, Outcome.PRUNED).model_copy(update=update)


def test_a_pruned_run_counts_for_its_last_loss_at_most_that_of_an_untrained_one():
    [run, *_] = searching(SWEEP).runs
    assert clipped_loss(partial(run, 3.0)) == 3.0
    assert clipped_loss(partial(run, 7.0)) == 5.0
    assert math.isnan(clipped_loss(partial(run, None)))


def swept(losses: dict[float, float], pruned: dict[float, float | None]) -> Plan:
    """A sweep whose runs at some rates were pruned on their second seed."""
    plan = searching(SWEEP, training={"learning_rate": 1e-3})
    plan = pruning_plan(plan)
    records = {}
    for run in plan.runs:
        rate = run.settings.get(RATE, 1e-3)
        outcome = Outcome.DIVERGED if losses[rate] == math.inf else Outcome.COMPLETED
        records[run.run_key] = record(run, losses[rate], outcome)
        if run.seed == 10001 and rate in pruned:
            records[run.run_key] = partial(run, pruned[rate])
    while (further := advance(plan, records.get, lambda *_: [])) is not plan:
        plan = further
        records |= {r.run_key: record(r, 9.0) for r in plan.runs if r.run_key not in records}
    return plan


def pruning_plan(plan: Plan, **pruning) -> Plan:
    protocol = plan.study.protocol.model_copy(update={"pruning": Pruning(**pruning)})
    return plan.model_copy(update={"study": plan.study.model_copy(update={"protocol": protocol})})


def test_what_was_pruned_is_never_chosen_while_something_else_is_left():
    plan = swept({1e-3: 4.0, 3e-3: 2.0, 1e-2: 3.0}, pruned={3e-3: 1.0})
    assert {c.settings[RATE] for c in plan.choices.values()} == {1e-2}
    assert {c.pruned for c in plan.choices.values()} == {False}


def test_what_diverged_is_not_chosen_over_what_was_pruned():
    plan = swept({1e-3: 2.0, 3e-3: 2.1, 1e-2: math.inf}, pruned={1e-3: 2.1, 3e-3: 2.2})
    assert {c.settings[RATE] for c in plan.choices.values()} == {1e-3}
    assert {c.pruned for c in plan.choices.values()} == {True}


def test_where_all_were_pruned_the_lowest_is_chosen_and_marked():
    plan = swept({1e-3: 4.0, 3e-3: 2.0, 1e-2: 3.0}, pruned={1e-3: 4.5, 3e-3: None, 1e-2: 2.5})
    [choice] = set(plan.choices[v].model_dump_json() for v in plan.choices)
    assert plan.choices["layer"].settings == {RATE: 3e-3}
    assert plan.choices["layer"].loss == 2.0  # of the one seed that has a loss
    assert '"pruned":true' in choice


def test_a_trial_that_was_given_up_on_every_seed_counts_for_the_worst():
    plan = pruning_plan(searching({**SWEEP, "seeds": 1, "extend": 0}))
    records = {run.run_key: partial(run, None) for run in plan.runs}
    plan = advance(plan, records.get, lambda *_: [])
    assert {choice.loss for choice in plan.choices.values()} == {NEVER_FINITE}


def test_the_sampler_is_told_the_losses_of_pruned_trials():
    told: list[Tried] = []

    def propose(search, seed, tried, count):
        told[:] = tried
        return [{RATE: 1e-2 * (len(tried) + 1 + k)} for k in range(count)]

    plan = pruning_plan(searching(TUNE))
    plan = advance(plan, {}.get, propose)
    records = {run.run_key: partial(run, 3.5) for run in plan.runs}
    advance(plan, records.get, propose)
    assert [(trial.loss, trial.pruned) for trial in told] == [(3.5, True)] * 2


def test_once_pruning_is_off_the_search_waits_for_what_was_pruned_and_chooses_anew():
    chosen = swept({1e-3: 4.0, 3e-3: 2.0, 1e-2: 3.0}, pruned={3e-3: 4.5})
    off = take_up(searching(SWEEP, training={"learning_rate": 1e-3}), chosen)
    assert off.choices == {}
    records = {r.run_key: record(r, 2.0) for r in off.runs}
    pruned = next(r for r in off.runs if r.settings.get(RATE) == 3e-3)
    records[pruned.run_key] = partial(pruned, 4.5)
    assert advance(off, records.get, lambda *_: []) is off
    same = take_up(pruning_plan(searching(SWEEP, training={"learning_rate": 1e-3})), chosen)
    assert same.choices == chosen.choices


@pytest.mark.parametrize(
    "pruning",
    [{"pruner": "threshold", "options": {"upper": 50}}, {"options": {"n_startup_trials": 2}}],
)
def test_once_pruning_is_another_the_search_waits_for_what_the_old_one_pruned(pruning):
    plan = searching({**SWEEP, "extend": 0}, training={"learning_rate": 1e-3})
    records = {run.run_key: record(run, 2.0) for run in plan.runs}
    pruned = next(run for run in plan.runs if run.settings.get(RATE) == 3e-3)
    records[pruned.run_key] = partial(pruned, 4.5)
    assert advance(pruning_plan(plan), records.get, lambda *_: []).is_settled
    other = pruning_plan(plan, **pruning)
    assert advance(other, records.get, lambda *_: []) is other


def test_a_record_stands_where_what_pruned_it_still_prunes():
    plan = searching(SWEEP)
    pruned = partial(plan.runs[0], 4.5)
    assert pruned.stands(pruning_plan(plan), "search")
    assert not pruned.stands(pruning_plan(plan), "report")
    assert not pruned.stands(pruning_plan(plan, options={"n_startup_trials": 2}), "search")
    unsaid = pruned.model_copy(update={"pruned_by": None})
    for protocol in (plan, pruning_plan(plan)):
        assert not unsaid.stands(protocol, "search")
    assert record(plan.runs[0], 2.0).stands(plan, "search")


def test_a_report_goes_by_the_pruning_that_was_run():
    stored, edited = (plan_of(**pruned_study("threshold", upper=u)) for u in (4.5, 50))
    assert stored.reported_as(edited) == stored
