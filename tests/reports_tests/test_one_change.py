"""Single changes of the baseline: which cells they are, their tests, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reports.analysis.one_change import ChangeRow, Hindrance, OneChange, changes_of, collect
from reports.results.frame import StudyResults
from reports.sections.one_change import SECTION, render
from reports.sections.one_change_words import reading
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome
from tests.reports_tests.conftest import grid_study
from tests.reports_tests.effect_studies import noisy, study
from tests.reports_tests.test_effects_words import FORBIDDEN

BASE = {"model.activation": "relu", "model.norm": "rms"}
ONE_AT_A_TIME = {"design": {"kind": "one_at_a_time", "baseline": BASE}}


def changes(results: StudyResults) -> OneChange:
    data = collect(results.compared)
    assert data is not None
    return data


def row_of(results: StudyResults, variant: str) -> ChangeRow:
    return next(row for row in changes(results).rows if row.variant == variant)


def test_the_changes_of_the_default_grid() -> None:
    found = changes_of(grid_study())
    assert {variant: change.text for variant, change in found.items()} == {
        "relu-layer-pre": "GELU → ReLU",
        "silu-layer-pre": "GELU → SiLU",
        "swiglu-layer-pre": "GELU → SwiGLU",
        "gelu-batch-pre": "LayerNorm → BatchNorm",
        "gelu-group-pre": "LayerNorm → GroupNorm",
        "gelu-none": "LayerNorm → no norm",
        "gelu-layer-post": "pre → post",
    }
    order = ["model.activation"] * 3 + ["model.norm"] * 3 + ["model.placement"]
    assert [change.key for change in found.values()] == order


def test_a_factor_that_gets_a_meaning_is_named_with_the_change() -> None:
    baseline = {"model.activation": "gelu", "model.norm": "none"}
    found = changes_of(grid_study(report={"baseline": baseline}))
    assert found["gelu-layer-post"].text == "no norm → LayerNorm · post"
    assert found["gelu-layer-pre"].text == "no norm → LayerNorm · pre"
    assert "relu-layer-pre" not in found


def test_a_design_of_single_changes_has_them_all() -> None:
    results = study(**ONE_AT_A_TIME)
    data = changes(results)
    assert {row.variant for row in data.rows} == set(results.variants) - {results.plan.baseline}
    assert [row.factor for row in data.rows] == ["activation", "activation", "norm"]


def test_differences_and_tests_are_those_of_scipy_and_statsmodels() -> None:
    results = study()
    data = changes(results)
    baseline = results.values(FINAL_LOSS, results.plan.baseline)
    tests = [stats.ttest_rel(results.values(FINAL_LOSS, r.variant), baseline) for r in data.rows]
    assert [row.p for row in data.rows] == pytest.approx([test.pvalue for test in tests])
    interval = tests[0].confidence_interval(0.95)
    assert data.rows[0].difference.low == pytest.approx(interval.low)
    assert data.rows[0].difference.high == pytest.approx(interval.high)
    adjusted = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert [row.holm_p for row in data.rows] == pytest.approx(list(adjusted))


def test_numbers_are_tied_to_the_runs_of_both_sides() -> None:
    results = study()
    row = row_of(results, "gelu-rms")
    chosen = results.runs["variant"].isin(["gelu-rms", "relu-rms"])
    assert sorted(row.runs) == sorted(results.runs[chosen]["run_key"])


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.PRUNED])
def test_survivors_are_shown_and_not_tested(outcome: Outcome) -> None:
    results = study(fates={("gelu-rms", 0): outcome})
    row = row_of(results, "gelu-rms")
    assert row.hindrance is Hindrance.SURVIVORS
    assert row.difference.n == 4
    assert np.isnan(row.holm_p)
    assert reading(row, changes(results)) == "not tested: mean over survivors"
    rest = [r for r in changes(results).rows if r is not row and r.variant != "gelu-rms"]
    family = [1.0, *(r.p for r in rest)]
    adjusted = multipletests(family, method="holm")[1][1:]
    assert [r.holm_p for r in rest] == pytest.approx(list(adjusted))


def test_against_a_baseline_that_diverged_nothing_is_tested() -> None:
    data = changes(study(fates={("relu-rms", 0): Outcome.DIVERGED}))
    assert {row.hindrance for row in data.rows} == {Hindrance.SURVIVORS}


def test_failed_and_missing_runs_cost_pairs() -> None:
    fates = {("gelu-rms", 0): Outcome.FAILED, ("gelu-rms", 1): Outcome.MISSING}
    row = row_of(study(fates=fates), "gelu-rms")
    assert (row.difference.n, row.hindrance) == (3, None)
    few = {("gelu-rms", seed): Outcome.MISSING for seed in range(1, 5)}
    assert row_of(study(fates=few), "gelu-rms").hindrance is Hindrance.ONE_PAIR
    none = few | {("gelu-rms", 0): Outcome.FAILED}
    assert row_of(study(fates=none), "gelu-rms").hindrance is Hindrance.NO_PAIR


def test_losses_that_do_not_compare_have_no_difference() -> None:
    leaky = row_of(study(leaks={"gelu-rms": Leak.LEAKY}), "gelu-rms")
    assert (leaky.hindrance, leaky.difference.n) == (Hindrance.LEAKY, 0)
    other = study(texts={"gelu-rms": "another"})
    assert row_of(other, "gelu-rms").hindrance is Hindrance.DIFFERENT_TEXTS
    assert row_of(other, "silu-rms").hindrance is None


@pytest.mark.parametrize("seed", range(10))
def test_whatever_the_numbers_the_words_stay_within_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    effects = dict(zip(("gelu", "layer"), random.normal(0, 0.02, 2), strict=True))
    noise = float(random.choice([0.001, 0.01, 0.05]))
    results = study(noisy(noise, **effects), seeds=int(random.integers(1, 7)))
    data = changes(results)
    exhibits = render(data)
    for text in (*exhibits.sentences, exhibits.tables[0].caption):
        assert not FORBIDDEN.search(text)
    for row in data.rows:
        text = reading(row, data)
        assert not FORBIDDEN.search(text)
        assert text.startswith("lower") == (row.holm_p <= 0.05 and row.difference.mean < 0)
        assert text.startswith("higher") == (row.holm_p <= 0.05 and row.difference.mean > 0)


def test_a_clear_change_is_told() -> None:
    exhibits = render(changes(study(noisy(0.002, gelu=-0.2))))
    assert exhibits.sentences[0].startswith(
        "Of 3 changes of one factor of the baseline (ReLU · RMSNorm) that could be tested, a "
        "difference was detected for 1 (Holm p of at most 0.05)"
    )
    assert exhibits.sentences[1].startswith(
        "Lower final loss under this protocol at this scale: ReLU → GELU (−0.1996 ["
    )


def test_the_baseline_stands_first_and_factors_apart() -> None:
    (table,) = render(changes(study())).tables
    assert [row.cells[0].text for row in table.rows] == [
        "baseline", "activation", "activation", "norm",
    ]  # fmt: skip
    assert [row.gap for row in table.rows] == [False, True, False, True]
    assert list(table.data["change"]) == ["baseline", "ReLU → GELU", "ReLU → SiLU",
                                          "RMSNorm → LayerNorm"]  # fmt: skip
    assert "30 planned, 30 completed" in table.caption


def test_a_mean_over_survivors_is_never_without_its_count() -> None:
    (table,) = render(changes(study(fates={("gelu-rms", 0): Outcome.DIVERGED}))).tables
    assert table.rows[1].cells[7].text == "4/5, 1 diverged"


def test_a_study_of_one_variant_has_no_changes() -> None:
    assert SECTION.exhibits(study(factors={"model.norm": ("layer",)})) is None
