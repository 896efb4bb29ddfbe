import math

import pytest

from reports.exhibits import IntervalBar
from reports.writers.page import BAR_WIDTH, interval_bar, order_attribute


def test_absent_numbers_sort_last_and_text_by_itself() -> None:
    assert order_attribute(math.nan, "–") == ""
    assert order_attribute(1.25, "1.2") == "1.25"
    assert order_attribute(3, "3") == "3"
    assert order_attribute(None, "GELU") == "GELU"


def test_bar_puts_zero_in_the_middle_and_marks_cut_ends() -> None:
    shape = interval_bar(IntervalBar(-0.5, 0.0, 2.0), 1.0)
    assert shape.middle == BAR_WIDTH / 2
    assert shape.low == BAR_WIDTH / 4
    assert shape.high == BAR_WIDTH
    assert (shape.cut_low, shape.cut_high) == (False, True)
    assert not shape.excludes_zero


@pytest.mark.parametrize("bar", [IntervalBar(0.1, 0.2, 0.3), IntervalBar(-0.3, -0.2, -0.1)])
def test_bar_away_from_zero(bar: IntervalBar) -> None:
    assert interval_bar(bar, 1.0).excludes_zero
