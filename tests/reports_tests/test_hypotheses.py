import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from reports.analysis.hypotheses import collect
from reports.analysis.power import smallest_detectable_difference
from reports.analysis.verdicts import Finding, Standing
from reports.results.sources import load_study
from reports.sections.hypotheses.section import SECTION
from studies.plan import Choice
from studies.records import Outcome
from studies.registration import REGISTRATION_FILE
from tests.reports_tests.conftest import Synthetic, grid_study, write_study
from tests.reports_tests.hypothesis_studies import (
    RELU,
    SWIGLU,
    below,
    hypothesis,
    many,
    plan_with,
    registration_of,
    results_of,
    row_of,
    sentences_of,
    verdict_of,
)


def test_the_contrast_is_of_means_over_cells_paired_by_seed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    losses = {v: random.normal(2, 0.1, 5) for v in ("swiglu-layer", "swiglu-rms", "relu-layer")}
    h = hypothesis("different", of=SWIGLU, against={"model.activation": ["relu", "gelu"]})
    row = row_of(results_of(tmp_path, {"h": h}, losses))
    of = (losses["swiglu-layer"] + losses["swiglu-rms"]) / 2
    against = (losses["relu-layer"] + 3 * 2.0) / 4
    assert row.difference.mean == pytest.approx(np.mean(of - against))
    assert row.p == pytest.approx(stats.ttest_rel(of, against).pvalue)
    assert (row.of.levels, row.of.cells) == ("SwiGLU", 2)
    assert (row.against.levels, row.against.cells) == ("ReLU or GELU", 4)
    low, high = stats.ttest_rel(of, against).confidence_interval(0.95)
    assert (row.difference.low, row.difference.high) == pytest.approx((low, high))


def test_each_direction_has_its_test(tmp_path: Path) -> None:
    a, b = np.array(below(0.004)["swiglu-layer"]), np.full(5, 2.0)
    wanted = {
        "lower": stats.ttest_rel(a, b, alternative="less").pvalue,
        "higher": stats.ttest_rel(a, b, alternative="greater").pvalue,
        "different": stats.ttest_rel(a, b).pvalue,
        "equivalent": ttost_paired(a, b, -0.02, 0.02)[0],
    }
    for direction, p in wanted.items():
        declared = {"h": hypothesis(direction, margin=0.02)}
        row = row_of(results_of(tmp_path / direction, declared, below(0.004)))
        assert row.p == pytest.approx(p)
        assert row.adjusted_p == pytest.approx(p)


def test_a_margin_that_was_not_declared_is_the_spread_over_seeds(tmp_path: Path) -> None:
    wide = {"relu-layer": [2.0, 2.1, 1.9, 2.05, 1.95], **below(0.3)}
    results = results_of(tmp_path, {"h": hypothesis()}, wide)
    assert row_of(results).margin == pytest.approx(np.std(wide["relu-layer"], ddof=1))
    assert any("No margin was declared for h" in s for s in sentences_of(results))
    narrow = results_of(tmp_path / "narrow", {"h": hypothesis()}, below(0.3))
    assert row_of(narrow).margin == 0.01


def test_p_is_adjusted_over_all_that_was_registered(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    losses = {
        variant: random.normal(2, 0.02, 5)
        for variant in ("relu-layer", "relu-rms", "gelu-layer", "gelu-rms", "swiglu-rms")
    } | below(0.03)
    results = results_of(tmp_path, many(4), losses)
    data = collect(results)
    assert data is not None
    expected = multipletests([row.p for row in data.rows], method="holm")[1]
    assert [row.adjusted_p for row in data.rows] == pytest.approx(list(expected))

    dropped = results_of(tmp_path / "dropped", many(1), losses, registered=many(4))
    assert row_of(dropped).adjusted_p == pytest.approx(4 * row_of(dropped).p)
    assert sum("Registered, and no longer in the file: h" in s for s in sentences_of(dropped)) == 3


def test_what_holm_does_not_let_pass_is_not_called_lower(tmp_path: Path) -> None:
    results = results_of(tmp_path, many(1), below(0.012), registered=many(4))
    assert row_of(results).p < 0.05 < row_of(results).adjusted_p
    assert row_of(results).difference.high < 0
    assert verdict_of(results) == "interval below 0, but not significant after Holm"


def test_beyond_the_margin_is_a_test_of_its_own_adjusted_over_all(tmp_path: Path) -> None:
    losses = below(0.014, 8)
    declared = hypothesis(margin=0.01)
    alone = row_of(results_of(tmp_path, {"h": declared}, losses, seeds=range(8)))
    differences = np.subtract(losses["swiglu-layer"], 2.0)
    p = stats.ttest_1samp(differences, -0.01).pvalue
    assert alone.beyond_p == alone.adjusted_beyond_p == pytest.approx(p)
    exact = stats.binomtest(8, 8).proportion_ci(0.95, method="exact")
    assert alone.win == pytest.approx((1.0, exact.low, 1.0))
    assert p > 0.05
    assert alone.finding is Finding.AS_CLAIMED

    losses = below(0.0165, 8)
    p = stats.ttest_1samp(np.subtract(losses["swiglu-layer"], 2.0), -0.01).pvalue
    assert p < 0.05 < 4 * p
    for family, finding in ((1, Finding.BEYOND_MARGIN), (4, Finding.AS_CLAIMED)):
        several = {**many(family), "h": declared}
        row = row_of(results_of(tmp_path / str(family), several, losses, seeds=range(8)))
        assert row.difference.high < -0.01
        assert row.adjusted_p <= 0.05
        assert row.adjusted_beyond_p == pytest.approx(family * p)
        assert row.finding is finding


def test_an_equivalence_has_no_p_beyond_the_margin(tmp_path: Path) -> None:
    alike = results_of(tmp_path, {"h": hypothesis("equivalent", margin=0.02)}, below(0.001))
    assert math.isnan(row_of(alike).adjusted_beyond_p)
    waiting = Synthetic({("relu-layer", 4): Outcome.MISSING})
    row = row_of(results_of(tmp_path / "few", {"h": hypothesis()}, below(0.03), waiting))
    assert math.isnan(row.beyond_p)
    assert math.isnan(row.adjusted_beyond_p)


@pytest.mark.parametrize(
    ("fate", "words"),
    [(Outcome.DIVERGED, "diverged;"), (Outcome.PRUNED, "diverged or were pruned;")],
)
def test_a_run_that_was_given_up_decides_against_any_verdict(
    tmp_path: Path, fate: Outcome, words: str
) -> None:
    fates = {("swiglu-layer", 1): fate, ("relu-layer", 2): Outcome.MISSING}
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03), Synthetic(fates))
    row = row_of(results)
    assert (row.difference.n, row.finding) == (3, Finding.SURVIVORS)
    assert math.isnan(row.p)
    assert verdict_of(results) == "cannot be decided from means over survivors"
    said = f"h: 1 of 5 runs of SwiGLU · LayerNorm and 0 of 5 runs of ReLU · LayerNorm {words}"
    assert any(s.startswith(said) and "over the 3 seeds" in s for s in sentences_of(results))


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ((4,), "not decided yet: n = 4 of 5 planned"),
        ((1, 2, 3, 4), "not testable with n = 1"),
        ((0, 1, 2, 3, 4), "not decided yet: no seed has all its runs"),
    ],
)
@pytest.mark.parametrize("fate", [Outcome.MISSING, Outcome.FAILED])
def test_a_pair_is_of_runs_that_completed_in_all_cells(
    tmp_path: Path, lost: Sequence[int], words: str, fate: Outcome
) -> None:
    synthetic = Synthetic({("relu-layer", seed): fate for seed in lost})
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03), synthetic)
    assert row_of(results).difference.n == 5 - len(lost)
    assert verdict_of(results) == words


def test_a_hypothesis_is_tested_on_the_seeds_that_it_was_planned_for(tmp_path: Path) -> None:
    synthetic = Synthetic({("relu-layer", 4): Outcome.MISSING, ("relu-layer", 3): Outcome.DIVERGED})
    for seeds, finding in ((3, Finding.AS_CLAIMED), (4, Finding.SURVIVORS)):
        declared = {"h": hypothesis(seeds=seeds, margin=0.01)}
        results = results_of(tmp_path / str(seeds), declared, below(0.1), synthetic)
        assert row_of(results).difference.n == 3
        assert row_of(results).finding is finding


def test_seeds_that_come_later_are_in_no_confirmatory_test(tmp_path: Path) -> None:
    losses = {"swiglu-layer": [2.0, 2.01, 1.99, 1.9, 1.901]}
    results = results_of(tmp_path, {"h": hypothesis()}, losses)
    of_all = row_of(results)
    before = registration_of(plan_with({"h": hypothesis()}, seeds=range(3)))
    row = row_of(replace(results, registration=before))
    assert (of_all.difference.n, row.difference.n) == (5, 3)
    assert row.difference.mean == pytest.approx(0.0)
    assert row.standing is Standing.CONFIRMATORY


@pytest.mark.parametrize(
    "change",
    [
        {"exclude": [{"when": {**SWIGLU, "model.norm": "rms"}, "because": "a run diverged"}]},
        {"training": {"max_steps": 500}},
        {"report": {"confidence": 0.9}},
    ],
)
def test_what_is_tested_on_something_else_is_no_longer_confirmatory(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    both_norms = {"h": hypothesis(of=SWIGLU, against={"model.activation": "relu"})}
    results = results_of(tmp_path, both_norms, {**below(0.03), "swiglu-rms": (1.9,) * 5})
    assert row_of(results).finding is Finding.AS_CLAIMED
    before = registration_of(plan_with(both_norms, **change))
    row = row_of(replace(results, registration=before))
    assert (row.standing, row.finding) == (Standing.CHANGED, Finding.UNCONFIRMED)


@pytest.mark.parametrize(
    ("direction", "by", "at_edge", "finding"),
    [
        ("lower", 0.03, "relu-layer", Finding.AT_EDGE),
        ("lower", 0.03, "swiglu-layer", Finding.AS_CLAIMED),
        ("lower", -0.03, "swiglu-layer", Finding.AT_EDGE),
        ("lower", -0.03, "relu-layer", Finding.AGAINST_CLAIM),
        ("different", -0.03, "swiglu-layer", Finding.AT_EDGE),
        ("equivalent", 0.001, "swiglu-layer", Finding.AT_EDGE),
        ("equivalent", 0.001, "gelu-rms", Finding.EQUIVALENT),
    ],
)
def test_what_was_chosen_at_an_edge_is_not_called_worse(
    tmp_path: Path, direction: str, by: float, at_edge: str, finding: Finding
) -> None:
    results = results_of(tmp_path, {"h": hypothesis(direction, margin=0.02)}, below(by))
    choices = {
        variant: Choice(
            settings={"training.learning_rate": 1e-2},
            trial=0,
            loss=2.0,
            edges={"training.learning_rate": "high"} if variant == at_edge else {},
        )
        for variant in results.variants
    }
    results = replace(results, plan=results.plan.model_copy(update={"choices": choices}))
    row = row_of(results)
    assert row.finding is finding
    compared = {"relu-layer": row.against.at_edge, "swiglu-layer": row.of.at_edge}
    assert bool(compared.get(at_edge)) is (at_edge != "gelu-rms")
    named = any("ended at the edge of what was tried" in s for s in sentences_of(results))
    assert named is (at_edge != "gelu-rms")


def test_what_else_the_sets_differ_in_is_said(tmp_path: Path) -> None:
    uneven = {"h": hypothesis(of={**SWIGLU, "model.norm": "layer"}, against=RELU)}
    results = results_of(tmp_path, uneven)
    assert row_of(results).confounded == ("model.norm",)
    assert any("cells that differ in norm as well" in s for s in sentences_of(results))
    assert row_of(results_of(tmp_path / "even", {"h": hypothesis()})).confounded == ()


def test_budgets_that_differ_are_said(tmp_path: Path) -> None:
    reason = {"unequal_budgets": "longer is the question"}
    factors = {"training.max_steps": (500, 1000), "model.norm": ("layer", "rms")}
    sides = {"of": {"training.max_steps": 1000}, "against": {"training.max_steps": 500}}
    plan = grid_study((0, 1), factors, hypotheses={"h": hypothesis(**sides)}, protocol=reason)
    results = load_study(write_study(tmp_path / "study", plan))
    assert any("differ on purpose: longer is the question" in s for s in sentences_of(results))


@pytest.mark.parametrize(
    ("direction", "family", "level"),
    [("different", 1, 0.95), ("different", 4, 0.9875), ("lower", 2, 0.95), ("lower", 4, 0.975)],
)
def test_what_is_detectable_is_so_in_holms_first_step(
    tmp_path: Path, direction: str, family: int, level: float
) -> None:
    losses = {"swiglu-layer": [2.0, 2.1, 1.9, 2.05, 1.95]}
    declared = {**many(family), "h": hypothesis(direction)}
    row = row_of(results_of(tmp_path, declared, losses))
    expected = smallest_detectable_difference(row.difference.sd, 5, level)
    assert row.detectable == pytest.approx(expected)


def test_a_search_that_has_not_chosen_leaves_hypotheses_open(tmp_path: Path) -> None:
    search = {"kind": "sweep", "values": {"training.learning_rate": (1e-3, 3e-3)}}
    plan = plan_with({"h": hypothesis()}, protocol={"search": search})
    directory = write_study(tmp_path / "study", plan)
    (directory / REGISTRATION_FILE).write_text(registration_of(plan).model_dump_json())
    exhibits = SECTION.exhibits(load_study(directory))
    assert exhibits is not None
    [verdict] = exhibits.tables[0].data["verdict"]
    assert verdict == "not decided yet: the search has not chosen for every variant"
    assert exhibits.sentences[0].startswith("1 hypothesis was registered before the first run")
