"""The figures of the final loss: the numbers they are drawn from, and how they draw."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reports.analysis.pairwise import MOST_VARIANTS, FinalLosses, collect
from reports.figures.dot_plot import draw_dot_plot, loss_limits, shows_interval, shows_noise
from reports.figures.drawing import PAPER, draw_files, themed
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.final_loss import render
from studies.digests import EVALUATION_DATA
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome
from tests.reports_tests.conftest import GRID, Synthetic, grid_study, write_study
from tests.reports_tests.searched import at_edge


def found(results: StudyResults) -> FinalLosses:
    data = collect(results)
    assert data is not None
    return data


def test_every_pair_is_tested_once_and_corrected_for_all(small: StudyResults) -> None:
    pairs = found(small).pairs
    assert list(zip(pairs["row"], pairs["column"], strict=True)) == list(
        combinations(small.variants, 2)
    )
    values = {v: small.values(FINAL_LOSS, v) for v in small.variants}
    tests = [stats.ttest_rel(values[a], values[b]) for a, b in combinations(small.variants, 2)]
    assert pairs["p"].tolist() == pytest.approx([test.pvalue for test in tests])
    expected = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert pairs["holm_p"].tolist() == pytest.approx(expected)
    intervals = [test.confidence_interval(0.95) for test in tests]
    assert pairs["low"].tolist() == pytest.approx([interval.low for interval in intervals])
    assert pairs["comparable"].all()


def test_means_have_the_t_interval(small: StudyResults) -> None:
    for variant, row in found(small).means.items():
        values = small.values(FINAL_LOSS, variant)
        low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
        assert (row.mean, row.low, row.high) == pytest.approx((values.mean(), low, high))


def test_survivors_and_leaky_variants_are_not_compared(tmp_path: Path) -> None:
    plan = grid_study((0, 1, 2), {"model.norm": ("layer", "rms", "group", "batch")})
    synthetic = Synthetic({("group", 1): Outcome.DIVERGED}, {"batch": Leak.LEAKY})
    data = found(load_study(write_study(tmp_path / "study", plan, synthetic)))
    pairs = data.pairs.set_index(["row", "column"])
    assert pairs.index[pairs["comparable"]].tolist() == [("layer", "rms")]
    assert pairs.loc[("layer", "group"), ["mean", "p", "holm_p"]].isna().all()
    assert pairs.loc[("layer", "rms"), "holm_p"] == pytest.approx(
        min(1, 6 * pairs.loc[("layer", "rms"), "p"])
    ), "what is not compared counts in the family"
    exhibits = render(data)
    dots, matrix = exhibits.figures
    assert "Hatched: not comparable" in matrix.caption
    assert "‡ the evaluation leaks: not ranked." in dots.caption
    assert "Hollow: not ranked." in dots.caption
    assert "At the right: runs without a final loss, counted." in dots.caption
    assert len(dots.runs) == 12
    assert len(matrix.runs) == 6


def test_losses_on_different_data_have_no_matrix(small: StudyResults) -> None:
    records = {
        key: record.model_copy(update={"digests": {EVALUATION_DATA: record.variant}})
        for key, record in small.records.items()
    }
    exhibits = render(found(replace(small, records=records)))
    assert [figure.name for figure in exhibits.figures] == ["final_loss"]
    assert not exhibits.sentences


def test_seeds_that_are_missing_leave_pairs_untested(tmp_path: Path) -> None:
    plan = grid_study((0, 1, 2), {"model.norm": ("layer", "rms")})
    synthetic = Synthetic({("rms", 2): Outcome.MISSING})
    data = found(load_study(write_study(tmp_path / "study", plan, synthetic)))
    assert data.pairs["comparable"].all()
    assert data.pairs["p"].isna().all()
    exhibits = render(data)
    assert "No pair is tested: 1 with planned seeds missing." in exhibits.figures[1].caption
    assert not exhibits.sentences


def test_only_pairs_that_could_be_tested_are_counted_and_the_others_by_reason(
    tmp_path: Path,
) -> None:
    plan = grid_study((0, 1, 2), {"model.norm": ("layer", "rms", "group", "batch")})
    fates = {("batch", 2): Outcome.MISSING, ("group", 0): Outcome.DIVERGED}
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(fates)))
    (sentence,) = render(found(results)).sentences
    assert re.search(r"pairs of variants, that of the one that could be tested is \w+", sentence)
    assert sentence.endswith(
        "0.05 so far (n = 3). Not tested: 3 not comparable and 2 with planned seeds missing."
    )


def test_a_search_at_its_edge_is_the_reason_that_is_given(small: StudyResults) -> None:
    exhibits = render(found(at_edge(small, *small.variants)))
    reason = "No pair is tested: 6 whose higher side ended its search at an edge."
    assert reason in exhibits.figures[1].caption
    assert not exhibits.sentences
    assert "Not tested" not in " ".join(render(found(small)).sentences)


def test_one_pair_is_corrected_for_nothing(tmp_path: Path) -> None:
    plan = grid_study((0, 1, 2), {"model.norm": ("layer", "rms")})
    exhibits = render(found(load_study(write_study(tmp_path / "study", plan))))
    (sentence,) = exhibits.sentences
    assert sentence.startswith("p of the one pair of variants is ")
    assert "Holm" not in exhibits.figures[1].caption


def test_one_variant_and_one_seed_are_drawn_without_intervals(tmp_path: Path) -> None:
    results = load_study(write_study(tmp_path / "study", grid_study((0,), {})))
    data = found(results)
    (dots,) = render(data).figures
    assert "n = 1" in dots.caption
    assert "interval" not in dots.caption
    assert math.isnan(data.noise.half_width)
    assert not shows_noise(data)
    assert draw_files(dots.draw, PAPER, ["svg"])["svg"].startswith(b"<?xml")


def test_a_study_that_has_not_begun_has_no_figure(tmp_path: Path) -> None:
    plan = grid_study((0,), {"model.norm": ("layer", "rms")})
    fates = {(run.variant, run.seed): Outcome.MISSING for run in plan.runs}
    assert collect(load_study(write_study(tmp_path / "study", plan, Synthetic(fates)))) is None


def test_a_matrix_of_too_many_variants_is_left_out_in_words(tmp_path: Path) -> None:
    rates = tuple(round(1e-3 * (1 + k / 100), 6) for k in range(MOST_VARIANTS + 1))
    plan = grid_study((0, 1), {"training.learning_rate": rates}, report={})
    data = found(load_study(write_study(tmp_path / "study", plan)))
    exhibits = render(data)
    assert [figure.name for figure in exhibits.figures] == ["final_loss"]
    assert "with 41 variants (more than 40) it cannot be read" in exhibits.sentences[0]


def test_outcomes_are_counted_at_the_margin_of_their_row(grid: StudyResults) -> None:
    data = found(grid)
    with themed(PAPER):
        figure = draw_dot_plot(data, PAPER)
    (ax,) = figure.axes
    rows = dict(zip((t.get_text() for t in ax.get_yticklabels()), ax.get_yticks(), strict=False))
    assert "LayerNorm · pre (baseline)" in {name.replace("\xa0", " ") for name in rows}
    counts = sorted((text.get_text(), round(text.xy[1], 3)) for text in ax.texts)
    lost = data.runs[data.runs["outcome"] != Outcome.COMPLETED]
    groups = lost.groupby(["variant", "outcome"]).size()
    assert [count for count, _ in counts] == sorted(map(str, groups))


def test_the_axis_holds_all_runs_and_cuts_long_intervals(grid: StudyResults) -> None:
    data = found(grid)
    low, high = loss_limits(data)
    losses = data.runs["loss"].dropna()
    assert low < losses.min()
    assert high > losses.max()
    assert high - low < 3 * np.ptp(losses)


def test_a_choice_at_an_edge_is_marked_in_both_figures(small: StudyResults) -> None:
    variant = small.variants[1]
    for figure in render(found(at_edge(small, variant))).figures:
        with themed(PAPER):
            labels = [t.get_text() for t in figure.draw(PAPER).axes[0].get_yticklabels()]
        assert sum("*" in label for label in labels) == 1
        assert "* At the edge of what was tried" in figure.caption
    assert all("*" not in figure.caption for figure in render(found(small)).figures)


def test_bands_that_would_cover_all_runs_are_left_out_in_words(small: StudyResults) -> None:
    data = found(small)
    base = data.means[data.baseline]
    losses = data.runs["loss"]
    spread = losses.max() - losses.min()
    for half, is_drawn in ((0.1 * spread, True), (2 * spread, False)):
        row = base._replace(low=base.mean - half, high=base.mean + half)
        noise = data.noise._replace(half_width=half)
        one = replace(data, means={**data.means, data.baseline: row}, noise=noise)
        assert shows_interval(one) == shows_noise(one) == is_drawn
        caption = render(one).figures[0].caption
        assert ("in a band of its 95% interval" in caption) == is_drawn
        assert ("Dotted: noise floor" in caption) == is_drawn
        assert ("is not drawn: lines at that distance" in caption) != is_drawn
        with themed(PAPER):
            (legend,) = draw_dot_plot(one, PAPER).legends
        entries = {text.get_text() for text in legend.get_texts()}
        assert ({"its 95% interval", "noise floor"} <= entries) == is_drawn


def test_the_sign_is_told_without_colour_where_no_number_fits(grid: StudyResults) -> None:
    data = found(grid)
    matrix = render(data).figures[1]
    with themed(PAPER):
        lines = matrix.draw(PAPER).axes[0].get_lines()
    minuses = sum(len(line.get_xdata()) for line in lines if line.get_marker() == "_")
    assert minuses == (data.pairs["mean"].abs() > 0).sum()  # once above or below the diagonal


@pytest.mark.parametrize("width_in", [3.03, 5.5, 10.6])
def test_labels_do_not_overlap_at_any_width(tmp_path: Path, width_in: float) -> None:
    plan = grid_study((0, 1, 2), GRID)
    results = load_study(write_study(tmp_path / "study", plan))
    theme = replace(PAPER, width_in=width_in)
    for figure in render(found(results)).figures:
        with themed(theme):
            drawn = figure.draw(theme)
            drawn.draw_without_rendering()
            for labels in (drawn.axes[0].get_yticklabels(), drawn.axes[0].get_xticklabels()):
                boxes = [label.get_window_extent() for label in labels if label.get_text()]
                assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
            for label in drawn.axes[0].get_yticklabels():
                assert label.get_window_extent().x0 >= 0
