from __future__ import annotations

import pytest

from studies.edges import rounded, span_of
from studies.protocol import Range, Sweep, Tune

RATE, WARMUP = "training.learning_rate", "training.warmup_steps"
ARGUMENT = "module.arguments.p"


def points(key, *values):
    span = span_of(Sweep(kind="sweep", values={key: values}), key)
    assert span is not None
    return span


def range_of(key, low, high, scale="log", trials=5):
    given = Range(low=low, high=high, scale=scale)
    span = span_of(Tune(kind="tune", ranges={key: given}, trials=trials), key)
    assert span is not None
    return span


@pytest.mark.parametrize(
    ("span", "side", "value"),
    [
        (points(RATE, 1e-3, 3e-3, 1e-2), "high", 0.0333),
        (points(RATE, 1e-3, 3e-3, 1e-2), "low", 0.000333),
        (points(WARMUP, 0, 100, 400), "high", 700),
        (points(WARMUP, 0, 100, 400), "low", None),
        (points(WARMUP, 50, 100, 400), "high", 1600),
        (points(WARMUP, 50, 100, 400), "low", 25),
        (points("model.dropout", 0.5, 0.9), "high", None),
        (range_of(RATE, 1e-3, 1e-1), "high", 0.316),
        (range_of(WARMUP, 0, 400, "linear"), "high", 500),
        (range_of(RATE, 1e-3, 1e-1, trials=1), "high", 10.0),
        (range_of(RATE, 1e-4, 1e-2, "linear"), "low", None),
        (range_of("model.n_heads", 1, 4, "linear", trials=12), "high", 5),
        (range_of("model.n_heads", 2, 8, trials=12), "low", 1),
        (points(ARGUMENT, 0.0, 0.2, 0.4), "high", 0.6),
        (points(ARGUMENT, 0.0, 0.2, 0.4), "low", None),
        (points(ARGUMENT, -0.2, 0.0, 0.2), "low", -0.4),
    ],
)
def test_one_step_beyond(span, side, value):
    assert span.beyond(side) == value
    ends = span.extended(side)
    expected = {"low": span.low, "high": span.high} | ({side: value} if value else {})
    assert {"low": ends.low, "high": ends.high} == expected


@pytest.mark.parametrize(
    ("span", "value", "side"),
    [
        (points(RATE, 1e-3, 3e-3, 1e-2), 1e-2, "high"),
        (points(RATE, 1e-3, 3e-3, 1e-2), 1e-3, "low"),
        (points(RATE, 1e-3, 3e-3, 1e-2), 3e-3, None),
        (points(WARMUP, 0, 100), 0, None),
        (points("model.dropout", 0.5, 0.9), 0.9, "high"),
        (points("training.beta2", 0.9, 0.99, 0.999), 0.999, "high"),
        (points(ARGUMENT, 0.0, 0.2), 0.0, None),
        (range_of(RATE, 1e-4, 1e-2, "linear"), 1.33e-4, "low"),
        (range_of(WARMUP, 10, 400, "linear"), 10, "low"),
        (range_of(WARMUP, 1, 10), 1, "low"),
        (range_of("model.n_heads", 1, 4, "linear", trials=12), 4, "high"),
        (range_of("model.n_heads", 1, 4, "linear", trials=12), 1, None),
        (range_of(RATE, 1e-3, 1e-1), 0.09, "high"),
        (range_of(RATE, 1e-3, 1e-1), 0.05, None),
        (range_of(RATE, 1e-3, 1e-1), 0.0011, "low"),
        (range_of(RATE, 1e-3, 1e-1), 0.01, None),
        (range_of(WARMUP, 0, 400, "linear"), 360, "high"),
        (range_of(WARMUP, 0, 400, "linear"), 340, None),
    ],
)
def test_points_have_sharp_edges_and_ranges_half_a_step(span, value, side):
    assert span.edge(value) == side


def test_names_and_switches_have_no_order():
    for values in (("fan_in", "gpt2"), (True, False), (None, 3)):
        assert span_of(Sweep(kind="sweep", values={"model.initialization": values}),
                       "model.initialization") is None  # fmt: skip


def test_made_up_values_have_three_digits():
    assert rounded(0.00123456, whole=False) == 0.00123
    assert rounded(123.6, whole=True) == 124
