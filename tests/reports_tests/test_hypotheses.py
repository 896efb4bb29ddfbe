import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from reports.hypotheses import Finding, collect
from reports.sections.hypotheses import SECTION
from reports.sources import load_study
from studies.records import Leak, Outcome
from studies.registration import REGISTRATION_FILE
from tests.reports_tests.conftest import Synthetic, write_study
from tests.reports_tests.hypothesis_studies import (
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


def test_a_diverged_run_decides_against_any_verdict(tmp_path: Path) -> None:
    fates = {("swiglu-layer", 1): Outcome.DIVERGED, ("relu-layer", 2): Outcome.MISSING}
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03), Synthetic(fates))
    row = row_of(results)
    assert (row.difference.n, row.finding) == (3, Finding.DIVERGED)
    assert math.isnan(row.p)
    assert verdict_of(results) == "cannot be decided from means over survivors"
    said = "h: 1 of 5 runs of SwiGLU · LayerNorm and 0 of 5 runs of ReLU · LayerNorm diverged"
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


def test_fewer_seeds_than_the_study_has_may_be_planned(tmp_path: Path) -> None:
    synthetic = Synthetic({("relu-layer", 4): Outcome.MISSING})
    results = results_of(tmp_path, {"h": hypothesis(seeds=4)}, below(0.03), synthetic)
    assert row_of(results).finding is Finding.BEYOND_MARGIN


def test_seeds_that_were_dropped_after_the_registration_are_missed(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03))
    before = registration_of(plan_with({"h": hypothesis()}, seeds=range(8)))
    assert verdict_of(replace(results, registration=before)).endswith("n = 5 of 8 planned")


def test_losses_that_cannot_be_compared_are_not(tmp_path: Path) -> None:
    leaky = Synthetic(leaks={"relu-layer": Leak.LEAKY})
    results = results_of(tmp_path, {"h": hypothesis()}, below(0.03), leaky)
    assert verdict_of(results) == "cannot be decided: later tokens leak into an evaluation"

    results = results_of(tmp_path / "texts", {"h": hypothesis()}, below(0.03))
    for moved, finding in (("swiglu-layer", Finding.DIFFERENT_TEXTS), ("gelu-rms", None)):
        records = {
            key: r.model_copy(update={"facts": {"validation_digest": str(r.variant == moved)}})
            for key, r in results.records.items()
        }
        found = row_of(replace(results, records=records)).finding
        assert (found is Finding.DIFFERENT_TEXTS) is (finding is Finding.DIFFERENT_TEXTS)


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
