"""Filters of `ablate query`: what is read in them, asked of MLflow, and judged here."""

from __future__ import annotations

import pytest

from ablations.query_filter import Key, parse_filter, parse_key

LOSS = 'metrics."val/loss" < 2.0'
LAYER = "params.\"norm\" = 'layer'"


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("", ""),
        ("  ", ""),
        ('metrics."val/loss" < 2', LOSS),
        ("metrics.'val/loss' < 2", LOSS),
        ("metrics.`val/loss`<2", LOSS),
        ("metric.val/loss < +2", LOSS),
        ("metrics.val/loss < .5e+1", 'metrics."val/loss" < 5.0'),
        ("metrics.val/loss < 1e16", 'metrics."val/loss" < 1e16'),
        ("params.norm = 'layer'", LAYER),
        ('parameters.norm = "layer"', 'params."norm" = "layer"'),
        ("param.norm=layer", LAYER),
        ("model.norm = layer", LAYER),
        ("params.norm == layer", LAYER),
        ("params.norm like 'lay%'", "params.\"norm\" LIKE 'lay%'"),
        ("params.norm is  not null", 'params."norm" IS NOT NULL'),
        ("tags.version.torch = '2'", "tags.\"version.torch\" = '2'"),
        ("status = FINISHED", "attributes.\"status\" = 'FINISHED'"),
        ("attr.start_time > 5", 'attributes."start_time" > 5.0'),
        ("run.run_id in (a, 'b')", "attributes.\"run_id\" IN ('a', 'b')"),
        ("tags.a = 'b and c' AND metrics.val/loss < 2\n", f"tags.\"a\" = 'b and c' and {LOSS}"),
        ("params.seed > 1 and params.norm = layer and tags.seed in (0, 1)", LAYER),
    ],
)  # fmt: skip
def test_mlflow_is_asked_in_its_own_grammar(typed, asked):
    assert parse_filter(typed).for_mlflow() == asked


@pytest.mark.parametrize(
    "typed",
    [
        "params.norm = 'layer' or params.seed = 1",
        "(params.norm = 'layer')",
        "not params.norm = 'layer'",
        "params.norm = 'layer' and",
        "params.norm = 'layer' params.seed = 1",
        "config.norm = layer",
        "params.norm =",
        "params.norm = 'layer",
        "layer",
    ],
)
def test_what_is_no_conjunction_is_left_to_mlflow(typed):
    filter = parse_filter(f" {typed} ")
    assert (filter.comparisons, filter.for_mlflow("tags.kind = 'run'")) == (
        (),
        f"tags.kind = 'run' and {typed}",
    )


@pytest.mark.parametrize(
    ("typed", "met", "not_met"),
    [
        ("params.x = 0.001", ["0.001", "1e-3", "1.0e-03"], ["0.0011", "", "a", None]),
        ("params.x != 1", ["2", "-1"], ["1", "1.0", "a", None]),
        ("params.x >= 10", ["10", "1e1", "11"], ["9", "9.99"]),
        ("tags.x < 10", ["9", "-11"], ["10", "a"]),
        ("params.x in (relu, 'gelu', 1e-3)", ["relu", "gelu", "0.001"], ["silu", "", None]),
        ('params.x not in ("a, b", c)', ["a", "b"], ["a, b", "c", None]),
        ("params.x in ('1')", ["1"], ["1.0"]),
        ("params.x not in ()", ["1"], [None]),
    ],
)
def test_numbers_and_lists_are_judged_here(typed, met, not_met):
    (comparison,) = parse_filter(typed).ours
    assert parse_filter(typed).for_mlflow() == ""
    assert [value for value in [*met, *not_met] if comparison.holds(value)] == met


@pytest.mark.parametrize(
    "typed", ["params.x = '1'", "params.x LIKE '1%'", "metrics.x < 1", "run_id in ('a')"]
)
def test_what_mlflow_can_judge_is_left_to_it(typed):
    filter = parse_filter(typed)
    assert len(filter.comparisons) == 1
    assert filter.ours == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('metrics."val/loss"', Key("metrics", "val/loss")),
        (" param.norm ", Key("params", "norm")),
        ("tags.`version.torch`", Key("tags", "version.torch")),
        ("training.learning_rate", Key("params", "learning_rate")),
        ("norm", None),
        ("version.torch", None),
        ("val/loss", None),
    ],
)
def test_a_key_is_a_kind_and_a_name(text, key):
    assert parse_key(text) == key
