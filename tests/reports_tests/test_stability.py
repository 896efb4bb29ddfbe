"""How many runs diverged: shares with exact intervals, and what nothing diverged does not show."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from scipy import stats

from reports.analysis.stability import Stability, collect
from reports.results.frame import StudyResults
from reports.sections.stability import SECTION, render
from studies.records import Outcome
from tests.reports_tests.effect_studies import default_grid, study

FATES = {
    ("relu-rms", 0): Outcome.DIVERGED,
    ("relu-rms", 3): Outcome.DIVERGED,
    ("relu-layer", 1): Outcome.DIVERGED,
    ("gelu-rms", 0): Outcome.FAILED,
    ("gelu-rms", 1): Outcome.MISSING,
    ("silu-rms", 0): Outcome.PRUNED,
}


def stability(results: StudyResults) -> Stability:
    data = collect(results)
    assert data is not None
    return data


def test_shares_are_of_ended_runs_with_the_exact_interval() -> None:
    rows = {row.variants[0]: row for row in stability(study(fates=FATES)).variants}
    row = rows["relu-rms"]
    expected = stats.binomtest(2, 5).proportion_ci(0.95, method="exact")
    assert (row.diverged, row.ended) == (2, 5)
    assert row.share.low == pytest.approx(expected.low)
    assert row.share.high == pytest.approx(expected.high)
    assert row.steps == (10, 40)
    assert (rows["gelu-rms"].diverged, rows["gelu-rms"].ended) == (0, 3)
    assert (rows["silu-rms"].diverged, rows["silu-rms"].ended) == (0, 5)


def test_levels_pool_all_their_runs() -> None:
    levels = {row.label: row for row in stability(study(fates=FATES)).levels}
    assert (levels["ReLU"].diverged, levels["ReLU"].ended) == (3, 10)
    assert (levels["RMSNorm"].diverged, levels["RMSNorm"].ended) == (2, 13)
    assert sorted(levels["ReLU"].variants) == ["relu-layer", "relu-rms"]
    assert len(levels["ReLU"].runs) == 10
    assert levels["ReLU"].steps == (10, 20, 40)


def test_a_level_counts_only_cells_in_which_it_means_something() -> None:
    levels = {row.label: row for row in stability(default_grid(seeds=1)).levels}
    assert list(levels) == ["ReLU", "GELU", "SiLU", "SwiGLU", "BatchNorm", "LayerNorm",
                            "GroupNorm", "no norm", "pre", "post"]  # fmt: skip
    assert levels["pre"].ended == levels["post"].ended == 12
    assert levels["no norm"].ended == 4


def test_the_table_has_a_row_for_each_variant_and_level() -> None:
    results = study(fates=FATES)
    (table,) = render(stability(results)).tables
    assert len(table.rows) == len(table.data) == 6 + 3 + 2
    cells = table.rows[0].cells
    assert [cell.text for cell in cells[:4]] == ["ReLU · RMSNorm", "2/5", "40%", "10 and 40"]
    assert cells[2].detail == "[5%,\xa085%]"
    assert cells[5].text == "3/5, 2 diverged"
    assert cells[5].marks.count(Outcome.DIVERGED) == 2
    pooled = next(row for row in table.rows if row.cells[0].text == "Activation: ReLU")
    assert pooled.cells[1].text == "3/10"
    assert pooled.cells[2].detail == ""
    assert "are not independent" in table.caption
    assert "30 planned, 24 completed, 3 diverged, 1 pruned, 1 failed, 1 missing" in table.caption


def test_sentences_count_and_bound() -> None:
    first, *rest = render(stability(study(fates=FATES))).sentences
    assert first == "3 of 28 ended runs diverged, in 2 of 6 variants, at steps 10 to 40."
    assert any("is not shown to be stable: with 3 runs the 95% interval reaches up to 71%" in s
               for s in rest)  # fmt: skip


def test_a_variant_that_always_diverged_is_named() -> None:
    fates = {("relu-rms", seed): Outcome.DIVERGED for seed in range(5)}
    sentences = render(stability(study(fates=fates))).sentences
    assert "Every ended run diverged of ReLU · RMSNorm." in sentences


def test_where_nothing_diverged_a_sentence_bounds_it_and_the_file_has_the_numbers() -> None:
    exhibits = render(stability(study()))
    assert exhibits.tables == ()
    (sentence,) = exhibits.sentences
    assert "None of the 30 runs that ended diverged." in sentence
    assert "reaches up to 52% where 5 runs ended" in sentence
    (document,) = exhibits.documents
    assert document.name == "tables/stability.csv"
    assert len(pd.read_csv(io.StringIO(document.text))) == 11


def test_while_no_run_has_ended_nothing_is_said() -> None:
    fates = {(v, s): Outcome.MISSING for v in study().variants for s in range(5)}
    assert SECTION.exhibits(study(fates=fates)) is None


def test_loss_spikes_are_counted_where_runs_recorded_them(small: StudyResults) -> None:
    rows = stability(small).variants
    assert {(row.spikes, row.spike_runs) for row in rows} == {(0.0 + 1.0 + 2.0, 3)}
    assert stability(study()).variants[0].spike_runs == 0
