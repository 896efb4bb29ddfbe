"""What a comparison with the baseline comes to, and the words that it may be told in."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from reports.analysis.against_baseline import (
    UNTESTED,
    BaselineTest,
    Reading,
    against_baseline,
    with_readings,
)
from reports.analysis.power import smallest_detectable_difference
from reports.analysis.verdicts import LEAST_MARGIN
from reports.sections.readings import SCOPE, verdict_of

CLAIMS = ("better", "worse", "equal", "same", "identical", "outperform", "lower", "higher")
JITTER = np.array([0.001, -0.002, 0.0015, -0.0005, 0.0, 0.002, -0.001, 0.0005, -0.0015, 0.0003])


def compared(
    baseline: np.ndarray,
    others: dict[str, np.ndarray],
    *,
    seeds: int | None = None,
    edges: tuple[bool, bool] = (False, False),
    obstacle: Reading | None = None,
) -> dict[str, BaselineTest]:
    found = {
        name: against_baseline(
            pd.Series(values),
            pd.Series(baseline),
            confidence=0.95,
            comparisons=len(others),
            seeds=seeds or len(baseline),
            edges=edges,
            obstacle=obstacle,
        )
        for name, values in others.items()
    }
    return with_readings(found, 0.95)


def reading(
    shift: float, n: int = 10, scale: float = 1.0, sd: float = 0.02, **more
) -> BaselineTest:
    """Of a variant that differs by a shift and small noise from a baseline with a seed SD."""
    baseline = 2 + sd * np.linspace(-1.5, 1.5, 10)[:n]
    return compared(baseline, {"a": baseline + shift + scale * JITTER[:n]}, **more)["a"]


@pytest.mark.parametrize(
    ("test", "expected", "text"),
    [
        (reading(-0.1), Reading.BETTER, "better"),
        (reading(0.1), Reading.WORSE, "worse"),
        (reading(-0.005), Reading.LOWER, "lower final loss"),
        (reading(0.005), Reading.HIGHER, "higher final loss"),
        (reading(-0.1, 5), Reading.LOWER, "lower final loss"),
        (reading(0.0), Reading.EQUIVALENT, "equivalent within ±0.020"),
        (reading(0.0, scale=50.0), Reading.NO_DIFFERENCE, "no difference detected"),
        (reading(-0.1, 1, seeds=1), Reading.ONE_RUN, "in one run −0.099"),
        (reading(-0.1, 1, seeds=3), Reading.TOO_FEW, "no verdict yet"),
        (reading(-0.1, 3, seeds=5), Reading.TOO_FEW, "no verdict yet"),
        (reading(-0.1, 0, seeds=5), Reading.NO_PAIR, "no verdict yet"),
        (reading(-0.1, obstacle=Reading.UNRANKED), Reading.UNRANKED, "no verdict"),
        (reading(-0.1, obstacle=Reading.SEARCHING), Reading.SEARCHING, "no verdict yet"),
        (reading(-0.1, edges=(False, True)), Reading.AT_EDGE, "no verdict"),
        (reading(0.1, edges=(True, False)), Reading.AT_EDGE, "no verdict"),
        (reading(-0.1, edges=(True, False)), Reading.BETTER, "better"),
        (reading(0.0, edges=(True, False)), Reading.AT_EDGE, "no verdict"),
    ],
)
def test_the_numbers_pick_the_reading(test: BaselineTest, expected: Reading, text: str) -> None:
    assert test.reading is expected
    assert verdict_of(test, 3).text == text


def test_a_difference_that_correction_takes_away_is_none_detected() -> None:
    random = np.random.default_rng(2)
    baseline = np.zeros(5)
    others = {str(k): random.normal(0, 1, 5) for k in range(9)}
    others["near"] = np.array([1.0, 0.4, 0.9, 0.3, 0.5])
    test = compared(baseline, others)["near"]
    assert test.difference.low > 0
    assert test.p < 0.05 < test.adjusted_p
    assert test.reading is Reading.NOT_SIGNIFICANT
    verdict = verdict_of(test, 3)
    assert verdict.text == "no difference detected"
    assert verdict.detail.startswith("after correction, p = 0.")


def test_losses_on_other_data_have_no_difference_at_all() -> None:
    test = reading(-0.1, obstacle=Reading.DIFFERENT_TEXTS)
    assert test.difference.n == 0
    assert all(
        math.isnan(x) for x in (test.difference.mean, test.p, test.flip_p, test.win.estimate)
    )
    assert verdict_of(test, 3).sentence == "no verdict (other evaluation data)"


def test_comparisons_without_a_p_count_in_the_family() -> None:
    baseline = 2 + 0.02 * np.linspace(-1, 1, 6)
    found = {
        "a": (baseline - 0.1 + JITTER[:6], None),
        "b": (baseline + 5 * JITTER[:6], None),
        "gone": (baseline, Reading.UNRANKED),
    }
    tests = with_readings(
        {
            name: against_baseline(
                pd.Series(values), pd.Series(baseline), confidence=0.95, comparisons=3, seeds=6,
                edges=(False, False), obstacle=obstacle,
            )
            for name, (values, obstacle) in found.items()
        },
        0.95,
    )  # fmt: skip
    assert tests["a"].adjusted_p == pytest.approx(3 * tests["a"].p)
    assert math.isnan(tests["gone"].adjusted_p)
    assert tests["gone"].reading is Reading.UNRANKED


def test_margin_is_the_spread_of_the_baseline_or_a_hundredth() -> None:
    assert reading(0.0, sd=0.02).margin == pytest.approx(
        np.std(0.02 * np.linspace(-1.5, 1.5, 10), ddof=1)
    )
    assert reading(0.0, sd=0.001).margin == LEAST_MARGIN
    assert math.isnan(reading(0.0, 1).margin)


def test_detectable_is_of_the_first_step_of_holm() -> None:
    baseline = np.linspace(0, 1, 5)
    tests = compared(baseline, {str(k): baseline + JITTER[:5] * (k + 1) for k in range(4)})
    test = tests["2"]
    expected = smallest_detectable_difference(test.difference.sd, 5, 1 - 0.05 / 4)
    assert test.detectable == pytest.approx(expected)
    unclear = reading(0.0, scale=50.0)
    assert verdict_of(unclear, 3).detail == f"smallest detectable {unclear.detectable:.2g}"


def random_families() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray], dict[str, object]]]:
    random = np.random.default_rng(11)
    obstacles = [None, None, None, None, Reading.UNRANKED, Reading.SEARCHING]
    for _ in range(300):
        n, others = int(random.integers(1, 13)), int(random.integers(1, 6))
        seeds = random.normal(0, 10 ** random.uniform(-4, -1), n)
        own = 10 ** random.uniform(-4, -1)
        baseline = 2 + seeds + random.normal(0, own, n)
        shifts = random.choice([0.0, 0.003, -0.01, 0.05, -0.2], others)
        values = {
            str(k): 2 + seeds + shift + random.normal(0, own, n) for k, shift in enumerate(shifts)
        }
        if random.random() < 0.3:
            values["0"][0] = baseline[0]  # a tie
        more = {
            "seeds": n + int(random.integers(0, 2)),
            "edges": (bool(random.random() < 0.2), bool(random.random() < 0.2)),
            "obstacle": obstacles[random.integers(len(obstacles))],
        }
        yield baseline, values, more


def test_only_what_is_significant_is_called_better_worse_lower_or_higher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "collect", int)  # which statsmodels calls each time, for minutes here
    claimed = 0
    for baseline, values, more in random_families():
        tests = compared(baseline, values, **more)
        n = len(baseline)
        with np.errstate(invalid="ignore", divide="ignore"):
            p = [
                stats.ttest_1samp(v - baseline, 0).pvalue if n > 1 else 1.0 for v in values.values()
            ]
        adjusted = multipletests(np.nan_to_num(p, nan=1.0), method="holm")[1]
        for (name, test), holm_p in zip(tests.items(), adjusted, strict=True):
            said = verdict_of(test, 3).sentence
            differences = values[name] - baseline
            is_whole = more["obstacle"] is None and n == more["seeds"]
            if not is_whole or holm_p > 0.05 or not test.reading.is_significant:
                assert not any(word in said for word in CLAIMS), said
                continue
            claimed += 1
            assert SCOPE in said
            assert ("lower" in said or "better" in said) == (differences.mean() < 0)
            if "better" in said or "worse" in said:
                assert n >= 6
                assert abs(differences.mean()) > max(0.01, np.std(baseline, ddof=1))
    assert claimed > 20


def test_equivalent_is_what_two_one_sided_tests_show() -> None:
    found = 0
    for baseline, values, more in random_families():
        tests = compared(baseline, values, **more)
        for name, test in tests.items():
            if test.reading is Reading.EQUIVALENT:
                found += 1
                assert ttost_paired(values[name], baseline, -test.margin, test.margin)[0] <= 0.05
                assert test.difference.includes_zero
            if test.reading in UNTESTED:
                assert math.isnan(test.adjusted_p)
    assert found > 5
