"""Numbers, durations and small curves as text."""

from __future__ import annotations

import math

import pytest

from ablations.numerals import Scale, aligned, clock, evenly, significant, sparkline


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "–"), (0, "0:00"), (187.4, "3:07"), (7387, "2:03:07")]
)
def test_durations_read_like_a_clock(seconds, words):
    assert clock(seconds) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (117056.0, "117,056"),
        (-2.0, "-2"),
        (3.14159, "3.14"),
        (0.2, "0.2"),
        (9.9996, "10.0"),
        (47519.6, "47,500"),
        (0.0012345, "0.00123"),
        (0.00009876, "9.88e-5"),
        (-7.5e-5, "-7.5e-5"),
        (6.02214e23, "6.02e23"),
        (1e-7, "1e-7"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert significant(value) == text


def test_points_stand_below_each_other():
    texts = aligned("mean", ["0.12", "12.3", "5", "–", "1e-7"])
    assert texts == [" mean", " 0.12", "12.3 ", " 5   ", "    –", " 1e-7"]
    assert aligned("loss/nats", ["2.1"]) == ["loss/nats", "      2.1"]


def test_items_are_chosen_evenly_with_the_ends_among_them():
    assert evenly(range(101), 5) == [0, 25, 50, 75, 100]
    assert evenly([1, 2], 5) == [1, 2]
    assert evenly([], 5) == []


def test_a_curve_spans_its_scale():
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    scale = Scale.of(values, "linear")
    assert sparkline(values, scale, 24) == "▁▂▃▄▅▆▇█"
    assert sparkline(values, scale, 4) == "▁▃▅▇"  # pairs of neighbours, averaged
    assert sparkline([], scale, 4) == ""


def test_a_logarithmic_scale_marks_what_it_cannot_show():
    values = [0.0, 1.0, 1e7]
    assert sparkline(values, Scale.of(values, "log"), 24) == "·▁█"


def test_zero_is_in_the_middle_of_a_diverging_scale():
    scale = Scale.of([-1.0, 4.0], "diverging")
    assert (scale.low, scale.high) == (-4.0, 4.0)
    assert sparkline([-4.0, 0.0, 4.0], scale, 24) == "▁▅█"


@pytest.mark.parametrize("kind", ["linear", "log", "diverging"])
def test_a_constant_curve_is_flat(kind):
    drawn = sparkline([2.0] * 3, Scale.of([2.0] * 3, kind), 24)
    assert len(set(drawn)) == 1
    assert sparkline([0.0], Scale.of([0.0], kind), 24) in ("▄", "·")
