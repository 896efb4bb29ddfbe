import math

import pytest

from reports.words import (
    counts_caption,
    decimals_for,
    factor_label,
    grouped,
    level_label,
    number,
    outcome_text,
    percent,
    progress_text,
    time_text,
)
from studies.records import Outcome


@pytest.mark.parametrize(
    ("key", "value", "label"),
    [
        ("model.norm", "layer", "LayerNorm"),
        ("model.activation", "relu2", "ReLU²"),
        ("training.warmup_steps", 100, "warmup steps 100"),
        ("model.qk_norm", True, "qk norm on"),
        ("model.qk_norm", False, "qk norm off"),
        ("model.norm_groups", 1, "norm groups 1"),
    ],
)
def test_levels_are_labelled(key: str, value: object, label: str) -> None:
    assert level_label(key, value) == label


def test_numbers_have_a_true_minus_and_nan_is_absent() -> None:
    assert number(-0.1234, 3, sign=True) == "−0.123"
    assert number(0.1, 2, sign=True) == "+0.10"
    assert number(-0.0001, 2, sign=True) == "0.00"
    assert number(math.nan, 2) == "–"


@pytest.mark.parametrize(
    ("spread", "decimals"), [(0.012, 3), (0.3, 2), (0.0021, 4), (1e-9, 5), (math.nan, 3), (0, 3)]
)
def test_decimals_show_the_second_digit_of_the_spread(spread: float, decimals: int) -> None:
    assert decimals_for(spread) == decimals


@pytest.mark.parametrize(
    ("share", "text"), [(0.95, "95%"), (0.995, "99.5%"), (2 * 0.995 - 1, "99%"), (1 - 0.95, "5%")]
)
def test_a_level_of_confidence_is_never_rounded_up(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.831, "0.831 s"), (59, "59 s"), (750, "12.5 min"), (7200, "2 h"), (4_450_000, "1236 h")],
)
def test_a_time_is_in_the_unit_of_its_size(seconds: float, text: str) -> None:
    assert time_text(seconds / 3600) == text


def test_counts() -> None:
    assert grouped(1234567) == "1\u202f234\u202f567"
    assert grouped(math.nan) == "–"
    assert factor_label("training.warmup_steps") == "warmup steps"


def test_survival_is_counted_outcome_by_outcome() -> None:
    counts = dict.fromkeys(Outcome, 0) | {Outcome.COMPLETED: 5}
    assert outcome_text(counts) == "5/5"
    counts |= {Outcome.COMPLETED: 3, Outcome.DIVERGED: 1, Outcome.MISSING: 1}
    assert outcome_text(counts) == "3/5, 1 diverged, 1 missing"
    assert progress_text(counts) == "4 of 5 runs finished; 1 missing"


def test_a_caption_counts_what_there_is() -> None:
    counts = dict.fromkeys(Outcome, 0)
    assert counts_caption(counts) == "Runs: 0 planned."
    counts |= {Outcome.COMPLETED: 3, Outcome.MISSING: 1}
    assert counts_caption(counts) == "Runs: 4 planned, 3 completed, 1 missing."
    assert counts_caption(counts, searching=True) == (
        "Runs: 4 planned so far, 3 completed, 1 missing; the search has not ended and may ask for "
        "more."
    )
