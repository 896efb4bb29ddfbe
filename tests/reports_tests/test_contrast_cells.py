"""How differences and p values are written."""

from __future__ import annotations

import math

import pytest

from reports.analysis.statistics import PairedDifference
from reports.sections.contrast_cells import (
    bar_limit,
    difference_cell,
    difference_words,
    p_cell,
    p_words,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("p", "cell", "words"),
    [
        (0.0002, "<0.001", "p < 0.001"),
        (0.001, "0.001", "p = 0.001"),
        (0.0499, "0.0499", "p = 0.0499"),
        (1.0, "1.000", "p = 1.000"),
    ],
)
def test_a_p_is_written_to_three_decimals(p: float, cell: str, words: str) -> None:
    assert p_cell(p).text == cell
    assert p_words(p) == words


def test_no_p_is_a_mark_and_never_a_zero() -> None:
    assert p_cell(NAN).text == "–"


def test_a_difference_has_its_interval() -> None:
    difference = PairedDifference(5, -0.0412, 0.01, -0.0536, -0.0288)
    cell = difference_cell(difference, 3)
    assert (cell.text, cell.detail) == ("−0.041", "[−0.054, −0.029]")
    assert cell.tex == "$-0.041$ $[-0.054,\\,-0.029]$"
    assert difference_words(difference, 3) == "−0.041 [−0.054, −0.029]"


def test_one_pair_has_no_interval_and_none_no_number() -> None:
    one = PairedDifference(1, 0.02, NAN, NAN, NAN)
    assert difference_cell(one, 2).detail == "one seed: no interval"
    assert difference_words(one, 2) == "+0.02"
    assert difference_cell(PairedDifference(0, NAN, NAN, NAN, NAN), 2).text == "–"


def test_bars_have_room_for_the_middling_interval() -> None:
    narrow = PairedDifference(5, 0.1, 0.01, 0.09, 0.11)
    wide = PairedDifference(5, -0.2, 1.0, -5.2, 4.8)
    assert bar_limit([narrow, narrow, wide]) == pytest.approx(0.21)
    far = PairedDifference(5, 3.0, 0.01, 2.99, 3.01)
    assert bar_limit([narrow, narrow, far]) == pytest.approx(4 * 0.11)
    near = PairedDifference(5, 0.6, 0.01, 0.59, 0.61)
    assert bar_limit([narrow, narrow, near]) == pytest.approx(0.61), "little would be gained"
    assert bar_limit([]) == 0.0
    assert bar_limit([PairedDifference(1, 0.3, NAN, NAN, NAN)]) == 0.0
