"""The protocol of a study file: what is refused, what its short forms mean."""

from __future__ import annotations

import pytest

from studies.budgets import MOST_STEPS, length_text
from studies.protocol import Fixed, Range, Sweep, Tune
from tests.studies_tests.helpers import plan_of, problems_of, study_of

RATE = "training.learning_rate"


def search_of(search, **raw):
    return study_of(protocol={"search": search}, **raw).protocol.search


def problems_with(search, **raw):
    return problems_of(protocol={"search": search}, **raw)


def test_without_a_word_nothing_is_searched():
    assert study_of().protocol.search == Fixed()
    assert search_of("fixed") == Fixed()


def test_a_number_of_search_seeds_is_far_from_the_study_s():
    sweep = {"kind": "sweep", "values": {RATE: [1e-3, 1e-2]}}
    assert search_of(sweep).seeds == (10000, 10001)
    assert search_of({**sweep, "seeds": 3}).seeds == (10000, 10001, 10002)
    assert search_of({**sweep, "seeds": [7]}).seeds == (7,)


def test_values_get_the_type_of_their_key_and_are_in_order():
    values = {
        RATE: [1, "1e-3"],
        "training.warmup_steps": [100, 0],
        "training.compile": [True, False],
    }
    found = search_of({"kind": "sweep", "values": values})
    assert isinstance(found, Sweep)
    assert found.values == {
        RATE: (1e-3, 1.0),
        "training.warmup_steps": (0, 100),
        "training.compile": (True, False),
    }


def test_ranges_are_numbers_or_lists():
    ranges = {RATE: {"low": 1e-4, "high": 1}, "training.warmup_steps": [50, 10]}
    found = search_of({"kind": "tune", "ranges": ranges})
    assert isinstance(found, Tune)
    assert found.ranges == {RATE: Range(low=1e-4, high=1.0), "training.warmup_steps": (10, 50)}


@pytest.mark.parametrize(
    ("search", "key", "words", "hint"),
    [
        ({"kind": "tune", "trails": 5}, "trails", "keys of protocol.search: kind, ranges, trials",
         "did you mean 'trials' or 'ranges'?"),
        ({"kind": "sweep", "value": {}}, "value", "keys of protocol.search: kind, values, seeds",
         "did you mean 'values'?"),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_held_against_the_keys_of_its_kind(search, key, words, hint):
    values = {"ranges": {RATE: [1e-3, 3e-3]}, "values": {RATE: [1e-3, 3e-3]}}
    wanted = {"tune": "ranges", "sweep": "values"}[search["kind"]]
    problem = problems_with({wanted: values[wanted], **search})[f"protocol.search.{key}"]
    assert problem.allowed.startswith(words)
    assert problem.remedy == hint


@pytest.mark.parametrize(
    ("search", "key", "words"),
    [
        ({"kind": "sweep", "values": {"training.lr": [1, 2]}},
         "protocol.search.values.training.lr", "a configuration key"),
        ({"kind": "sweep", "values": {RATE: [1e-3]}},
         f"protocol.search.values.{RATE}", "at least two values"),
        ({"kind": "sweep", "values": {RATE: [1e-3, 1e-3]}},
         f"protocol.search.values.{RATE}", "each once"),
        ({"kind": "sweep", "values": {RATE: ["fast", 1e-3]}},
         f"protocol.search.values.{RATE}", "number"),
        ({"kind": "sweep", "values": {"model.norm": ["layer", "rms"]}},
         "protocol.search.values.model.norm", "no factor"),
        ({"kind": "sweep", "values": {"data.tokenizer": ["bytes", "bpe"]}},
         "protocol.search.values.data.tokenizer", "keys of `model`"),
        ({"kind": "sweep", "values": {"training.max_steps": [10, 20]}},
         "protocol.search.values.training.max_steps", "neither size nor budget"),
        ({"kind": "sweep", "values": {"model.d_model": [64, 128]}},
         "protocol.search.values.model.d_model", "neither size nor budget"),
        ({"kind": "sweep", "values": {"model.weights": [None, "gpt2"]}},
         "protocol.search.values.model.weights", "vary it as a factor"),
        ({"kind": "sweep", "values": {RATE: [1e-3, 1e-2]}, "seeds": [1, 7]},
         "protocol.search.seeds", "both have 1"),
        ({"kind": "tune", "ranges": {RATE: {"low": 1, "high": 0.1}}},
         f"protocol.search.ranges.{RATE}", "low below high"),
        ({"kind": "tune", "ranges": {"training.warmup_steps": {"low": 0, "high": 9}}},
         "protocol.search.ranges.training.warmup_steps.low", "above 0 on a log scale"),
        ({"kind": "tune", "ranges": {RATE: {"low": 1e-3, "high": 1e-2}}, "sampler": "grid"},
         "protocol.search.sampler", "one of tpe"),
        ({"kind": "tune", "ranges": {"model.initialization": {"low": 1, "high": 2}}},
         "protocol.search.ranges.model.initialization", "text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(search, key, words):
    problems = problems_with(search, factors={"model.norm": ["layer", "rms"]}, seeds=2)
    assert words in str(problems[key])


def test_every_corner_of_the_search_is_checked_by_the_rules():
    search = {"kind": "sweep", "values": {"training.warmup_steps": [10, 500]}}
    problems = problems_with(search, training={"max_steps": 100, "warmup_steps": 5})
    assert "500" in str(problems["protocol.search: training.warmup_steps"])


def test_a_budget_in_tokens_sets_the_steps_of_each_variant():
    plan = plan_of(
        factors={"training.batch_size": [8, 16]},
        training={"warmup_steps": 5},
        protocol={"budget": {"tokens": 64 * 8 * 100}},
    )
    steps = [cell.configuration["training"]["max_steps"] for cell in plan.cells]
    assert steps == [100, 50]


def test_a_budget_in_flops_gives_a_dearer_variant_fewer_steps():
    plan = plan_of(factors={"model.n_layers": [2, 4]}, protocol={"budget": {"flops": 1e12}})
    for cell in plan.cells:
        training = cell.configuration["training"]
        spent = cell.flops_per_token * training["max_steps"] * training["batch_size"] * 64
        assert spent == pytest.approx(1e12, rel=0.01)
    steps = [cell.configuration["training"]["max_steps"] for cell in plan.cells]
    assert steps[0] > 1.5 * steps[1]


def test_a_budget_in_minutes_is_that_of_each_variant_whatever_its_size():
    factors = {"model.n_layers": [2, 4], "training.batch_size": [8, 16]}
    plan = plan_of(factors=factors, protocol={"budget": {"minutes": 5}})
    training = [cell.configuration["training"] for cell in plan.cells]
    assert {(t["max_minutes"], t["max_steps"]) for t in training} == {(5.0, MOST_STEPS)}
    steps = plan_of(factors=factors)
    assert not {run.run_key for run in plan.runs} & {run.run_key for run in steps.runs}


@pytest.mark.parametrize(
    ("configurations", "text"),
    [
        ([{"max_steps": 400}], "400 steps"),
        ([{"max_steps": 20_000}, {"max_steps": 800}], "800 to 20,000 steps"),
        ([{"max_steps": MOST_STEPS, "max_minutes": 5.0}], "5 minutes"),
        ([{"max_steps": MOST_STEPS, "max_minutes": 1.0}], "1 minute"),
        ([{"max_steps": MOST_STEPS, "max_minutes": 0.5}], "0.5 minutes"),
    ],
)
def test_how_long_runs_are_is_said_in_their_unit(configurations, text):
    assert length_text([{"training": training} for training in configurations]) == text


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"training": {"max_steps": 10}, "protocol": {"budget": {"tokens": 1e6}}},
         "training.max_steps"),
        ({"factors": {"training.max_steps": [200, 300]}, "protocol": {"budget": {"tokens": 1e6}}},
         "training.max_steps"),
        ({"data": {"tokenizer": "characters"}, "protocol": {"budget": {"flops": 1e12}}},
         "protocol.budget.flops"),
        ({"protocol": {"budget": {"flops": 1e12, "tokens": 1e6}}}, "protocol.budget"),
        ({"protocol": {"budget": {"minutes": 5, "tokens": 1e6}}}, "protocol.budget"),
        ({"protocol": {"budget": {"minutes": 0}}}, "protocol.budget.minutes"),
        ({"training": {"max_steps": 10}, "protocol": {"budget": {"minutes": 5}}},
         "training.max_steps"),
        ({"training": {"max_minutes": 5}, "protocol": {"budget": {"minutes": 5}}},
         "training.max_minutes"),
        ({"training": {"max_minutes": 5}}, "training.max_minutes"),
        ({"factors": {"training.max_minutes": [1, 5]}}, "training.max_minutes"),
        ({"protocol": {"budget": {}}}, "protocol.budget"),
    ],
)  # fmt: skip
def test_budgets_that_cannot_be_kept_are_refused(raw, key):
    assert key in problems_of(**raw)


def test_a_budget_too_small_for_the_warm_up_is_refused():
    problems = problems_of(protocol={"budget": {"tokens": 64 * 16 * 10}})
    assert "training.warmup_steps" in problems


def test_too_many_runs_are_counted_with_the_search():
    ranges = {RATE: {"low": 1e-3, "high": 1e-2}}
    search = {"kind": "tune", "ranges": ranges, "trials": 1000, "seeds": 100}
    factors = {"model.norm": ["layer", "rms"]}
    assert "seeds" in problems_with(search, factors=factors)
    assert problems_with({**search, "seeds": 2}, factors=factors) == {}
