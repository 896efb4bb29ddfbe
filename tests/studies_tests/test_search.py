"""The search as a function of plan and losses: who calls it, and how often, changes nothing."""

from __future__ import annotations

import itertools

import pytest

from studies.metrics import FINAL_LOSS, INITIAL_LOSS
from studies.plan import Plan
from studies.records import Outcome, RunRecord
from studies.search import advance, take_up
from studies.tried import NEVER_FINITE, Tried, clipped_loss
from tests.studies_tests.helpers import plan_of

RATE = "training.learning_rate"
NORMS = {"model.norm": ["layer", "rms"]}
SWEEP = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3, 1e-2]}, "seeds": 2}
TUNE = {
    "kind": "tune",
    "ranges": {RATE: {"low": 1e-3, "high": 1e-1}},
    "trials": 5,
    "at_once": 2,
    "seeds": 1,
}


def searching(search, **raw) -> Plan:
    return plan_of(factors=NORMS, seeds=2, protocol={"search": search}, **raw)


def record(run, loss, outcome=Outcome.COMPLETED, initial=5.0) -> RunRecord:
    summary = {INITIAL_LOSS: initial, **({FINAL_LOSS: loss} if loss is not None else {})}
    return RunRecord(
        run_key=run.run_key, study="some", variant=run.variant, seed=run.seed, levels={},
        attempt=0, outcome=outcome, summary=summary,
    )  # fmt: skip


class Lab:
    """Trains what a plan asks for, by a formula for the loss."""

    def __init__(self, loss, fails=()):
        self.loss, self.fails = loss, set(fails)
        self.records: dict[str, RunRecord] = {}
        self.asked: list[int] = []

    def train(self, plan: Plan, limit: int | None = None) -> None:
        waiting = [run for run in plan.runs if run.run_key not in self.records]
        for run in waiting[:limit]:
            if run.variant in self.fails:
                self.records[run.run_key] = record(run, None, Outcome.FAILED)
            else:
                rate = plan.settings(run.variant, run.settings)[RATE]
                value = self.loss(run.variant, rate)
                outcome = Outcome.DIVERGED if value is None else Outcome.COMPLETED
                self.records[run.run_key] = record(run, value, outcome)

    def propose(self, search, seed, tried: list[Tried], count: int):
        """Halves of the range, one after the other: enough to see who was asked what."""
        self.asked.append(len(tried))
        return [{RATE: 2e-3 * (len(tried) + offset + 1)} for offset in range(count)]

    def go_on(self, plan: Plan) -> Plan:
        return advance(plan, self.records.get, self.propose)

    def to_the_end(self, plan: Plan) -> Plan:
        for _ in range(50):
            self.train(plan)
            further = self.go_on(plan)
            if further is plan:
                return plan
            plan = further
        raise AssertionError("the search never ends")


def valley(best):
    """A loss with its minimum at a rate of each variant."""
    return lambda variant, rate: 2 + abs(rate - best[variant]) * 10


MIDDLE = valley({"layer": 3e-3, "rms": 3e-3})


def test_a_sweep_tries_every_value_on_every_search_seed_and_no_report_seed():
    plan = searching(SWEEP)
    search = [run for run in plan.runs if run.stage == "search"]
    tried = {(run.variant, run.settings[RATE], run.seed) for run in search}
    expected = itertools.product(("layer", "rms"), (1e-3, 3e-3, 1e-2), (10000, 10001))
    assert tried == set(expected)
    assert {run.seed for run in plan.runs if run.stage == "report"} == {0, 1}
    assert plan.runs[: len(search)] == tuple(search)


def test_the_shared_runs_are_those_of_a_study_without_a_search():
    shared = {r.run_key for r in searching(SWEEP).runs if r.stage == "report"}
    assert shared == plan_of(factors=NORMS, seeds=2).run_keys


def test_fresh_seeds_follow_at_the_value_of_the_lowest_mean():
    plan = Lab(valley({"layer": 3e-3, "rms": 3.1e-3})).to_the_end(searching(SWEEP))
    assert {v: c.settings for v, c in plan.choices.items()} == {
        "layer": {RATE: 3e-3},
        "rms": {RATE: 3e-3},
    }
    assert plan.is_settled
    tuned = [run for run in plan.runs if "tuned" in plan.columns_of(run)]
    assert {(r.variant, r.seed, r.settings[RATE]) for r in tuned} == {
        (v, s, 3e-3) for v in ("layer", "rms") for s in (0, 1)
    }
    assert plan.choices["layer"].edges == {}
    assert plan.extensions == ()


def test_a_choice_that_is_the_shared_value_is_trained_once():
    plan = Lab(MIDDLE).to_the_end(searching(SWEEP, training={"learning_rate": 3e-3}))
    both = [run for run in plan.runs if plan.columns_of(run) == ("tuned", "shared")]
    assert len(both) == 4
    assert len(plan.runs) == 2 * 3 * 2 + 4


def test_who_waits_gets_nothing_new():
    plan, lab = searching(SWEEP), Lab(MIDDLE)
    lab.train(plan, limit=11)
    assert lab.go_on(plan) is plan


def test_one_variant_at_the_edge_extends_the_values_for_all():
    plan = Lab(valley({"layer": 1e-2, "rms": 3e-3})).to_the_end(searching(SWEEP))
    assert [(e.key, e.side) for e in plan.extensions] == [(RATE, "high")]
    extra = [t for t in plan.trials if t.extension]
    assert [(t.variant, t.number, t.settings[RATE]) for t in extra] == [
        ("layer", 3, 0.0333),
        ("rms", 3, 0.0333),
    ]
    assert plan.choices["layer"].settings == {RATE: 1e-2}
    assert plan.choices["layer"].edges == {}


def test_what_is_still_at_the_edge_after_the_extension_is_marked():
    plan = Lab(lambda variant, rate: 4 - rate).to_the_end(searching(SWEEP))
    assert len(plan.extensions) == 1
    assert plan.choices["layer"].settings == {RATE: 0.0333}
    assert plan.choices["layer"].edges == {RATE: "high"}


def test_no_extension_where_none_is_wanted():
    plan = Lab(lambda variant, rate: 4 + rate).to_the_end(searching({**SWEEP, "extend": 0}))
    assert plan.extensions == ()
    assert plan.choices["rms"].edges == {RATE: "low"}


def test_several_keys_are_combined_and_extended_from_the_best_of_each_variant():
    values = {RATE: [1e-3, 1e-2], "training.warmup_steps": [0, 100]}
    lab = Lab(lambda variant, rate: 3 - rate)
    plan = lab.to_the_end(searching({**SWEEP, "values": values}))
    assert sum(not t.extension for t in plan.trials) == 2 * 4
    [extra] = {str(t.settings) for t in plan.trials if t.extension}
    assert extra == str({RATE: 0.1, "training.warmup_steps": 0})


def test_a_zero_that_nothing_can_go_below_is_no_edge():
    values = {"training.warmup_steps": [0, 50, 100]}
    lab = Lab(lambda variant, rate: 2.0)
    lab.loss = lambda variant, rate: 2.0
    plan = lab.to_the_end(searching({**SWEEP, "values": {RATE: [1e-3, 3e-3], **values}}))
    assert plan.choices["layer"].settings["training.warmup_steps"] == 0
    assert "training.warmup_steps" not in plan.choices["layer"].edges


def test_no_extension_beyond_what_a_rule_allows_but_a_mark():
    search = {**SWEEP, "values": {"training.warmup_steps": [50, 90]}}
    plan = searching(search, training={"max_steps": 100})
    lab = Lab(None)
    for _ in range(5):
        for run in plan.runs:
            warmup = plan.settings(run.variant, run.settings)["training.warmup_steps"]
            lab.records[run.run_key] = record(run, 4 - warmup / 100)
        plan = lab.go_on(plan)
    assert plan.extensions == ()
    assert plan.choices["layer"].edges == {"training.warmup_steps": "high"}


def test_diverged_runs_count_as_the_loss_at_initialisation():
    lab = Lab(lambda variant, rate: None if rate > 2e-3 else 4.5)
    plan = lab.to_the_end(searching({**SWEEP, "extend": 0}))
    assert plan.choices["layer"].settings == {RATE: 1e-3}
    diverged = record(run := plan.runs[0], None, Outcome.DIVERGED, initial=5.5)
    assert clipped_loss(diverged) == 5.5
    assert clipped_loss(record(run, 7.0, initial=5.5)) == 5.5
    assert clipped_loss(record(run, 3.0, initial=5.5)) == 3.0
    assert clipped_loss(diverged.model_copy(update={"summary": {}})) == NEVER_FINITE


def test_where_every_trial_diverged_the_best_may_be_on_either_side():
    plan = Lab(lambda variant, rate: None).to_the_end(searching({**SWEEP, "extend": 2}))
    assert sorted(e.side for e in plan.extensions) == ["high", "high", "low", "low"]
    assert plan.choices["layer"].edges.keys() == {RATE}


def test_a_failed_run_holds_up_its_variant_alone_until_it_is_mended():
    lab = Lab(MIDDLE, fails=["rms"])
    plan = lab.to_the_end(searching(SWEEP))
    assert set(plan.choices) == {"layer"}
    assert not plan.is_settled
    lab.fails.clear()
    lab.records = {k: r for k, r in lab.records.items() if r.outcome is not Outcome.FAILED}
    assert set(lab.to_the_end(plan).choices) == {"layer", "rms"}


def test_a_variant_that_comes_late_gets_the_extensions_of_the_others():
    lab = Lab(valley({"layer": 1e-2, "rms": 3e-3}), fails=["rms"])
    plan = lab.to_the_end(searching(SWEEP))
    lab.fails.clear()
    lab.records = {k: r for k, r in lab.records.items() if r.outcome is not Outcome.FAILED}
    plan = lab.to_the_end(plan)
    trials = [len([t for t in plan.trials if t.variant == v]) for v in ("layer", "rms")]
    assert trials == [4, 4]


def test_a_tuning_asks_in_batches_and_gives_every_variant_the_same_number():
    lab = Lab(MIDDLE)
    plan = lab.to_the_end(searching({**TUNE, "extend": 0}))
    assert lab.asked == [0, 0, 2, 2, 4, 4]
    counts = [[t.number for t in plan.trials if t.variant == v] for v in ("layer", "rms")]
    assert counts == [[0, 1, 2, 3, 4]] * 2


def test_a_quick_variant_does_not_wait_for_a_slow_one_within_its_search():
    lab, plan = Lab(MIDDLE), searching(TUNE)
    plan = lab.go_on(plan)
    for run in [r for r in plan.runs if r.variant == "layer" and r.stage == "search"]:
        lab.records[run.run_key] = record(run, 3.0)
    plan = lab.go_on(plan)
    counts = [sum(t.variant == v for t in plan.trials) for v in ("layer", "rms")]
    assert counts == [4, 2]


def test_the_edge_of_a_range_is_half_a_step_wide():
    edge = Lab(lambda variant, rate: 4 - rate)
    edge.propose = lambda search, seed, tried, count: [{RATE: 0.09}] * count
    plan = edge.to_the_end(searching(TUNE))
    [extension] = plan.extensions
    assert (extension.key, extension.side) == (RATE, "high")
    [value] = {t.settings[RATE] for t in plan.trials if t.extension}
    assert value == pytest.approx(0.1 * 100 ** (1 / 4), rel=0.01)
    assert plan.choices["layer"].edges == {RATE: "high"}


class TestTakingUp:
    """A plan made anew goes on where the stored one stands."""

    def test_the_same_study_is_where_it_was(self):
        stored = Lab(MIDDLE).to_the_end(searching(SWEEP))
        assert take_up(searching(SWEEP), stored) == stored

    def test_a_tuning_half_way_is_not_asked_again(self):
        lab, plan = Lab(MIDDLE), searching(TUNE)
        for _ in range(2):
            plan = lab.go_on(plan)
            lab.train(plan)
        lab.asked.clear()
        assert lab.to_the_end(take_up(searching(TUNE), plan)).trials == lab.to_the_end(plan).trials
        assert 0 not in lab.asked

    def test_more_trials_follow_those_there_are(self):
        lab = Lab(MIDDLE)
        stored = lab.to_the_end(searching(TUNE))
        more = lab.to_the_end(take_up(searching({**TUNE, "trials": 7}), stored))
        kept = [t for t in stored.trials if not t.extension]
        assert [t for t in more.trials if not t.extension and t.number < 5] == kept
        assert sum(t.variant == "layer" and not t.extension for t in more.trials) == 7
        assert more.is_settled

    def test_a_new_variant_is_searched_and_the_others_keep_their_choice(self):
        lab = Lab(valley({"layer": 3e-3, "rms": 3e-3, "none": 3e-3}))
        stored = lab.to_the_end(searching(SWEEP))
        norms = {"model.norm": ["layer", "rms", "none"]}
        raw = {"factors": norms, "seeds": 2, "protocol": {"search": SWEEP}}
        plan = take_up(plan_of(**raw), stored)
        assert plan.choices == stored.choices
        assert set(lab.to_the_end(plan).choices) == {"layer", "rms", "none"}

    def test_another_shared_value_searches_nothing_anew(self):
        stored = Lab(MIDDLE).to_the_end(searching(SWEEP))
        moved = take_up(searching(SWEEP, training={"learning_rate": 5e-3}), stored)
        assert moved.choices == stored.choices

    def test_another_range_starts_anew(self):
        stored = Lab(MIDDLE).to_the_end(searching(TUNE))
        ranges = {RATE: {"low": 1e-4, "high": 1e-1}}
        assert take_up(searching({**TUNE, "ranges": ranges}), stored).trials == ()

    def test_a_study_without_a_search_takes_up_nothing(self):
        stored = Lab(MIDDLE).to_the_end(searching(SWEEP))
        fixed = plan_of(factors=NORMS, seeds=2)
        assert take_up(fixed, stored) is fixed


def test_a_plan_survives_json():
    plan = Lab(MIDDLE).to_the_end(searching(SWEEP))
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
