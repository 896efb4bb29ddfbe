from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from reports.figures.drawing import PAPER, themed
from reports.figures.tap_panels import TapPanels, collect_tap_panels, draw_tap_panels
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.layer_captions import panel_caption
from studies.metrics import split_series
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic, grid_study, write_study


def panels_of(results: StudyResults, family: str) -> TapPanels:
    panels = collect_tap_panels(results, family)
    assert panels is not None
    return panels


def test_cells_are_means_over_completed_runs_at_the_last_probe(grid: StudyResults) -> None:
    panels = panels_of(grid, "activation_rms")
    assert set(panels.cells["first_step"]) == set(panels.cells["last_step"]) == {1000}
    assert "relu-none" not in set(panels.cells["variant"])  # both diverged
    curve = grid.layer_curves("activation_rms")
    pair = curve[
        (curve["variant"] == "gelu-layer-pre")
        & (curve["tap"] == "hidden")
        & (curve["layer"] == 1)
        & (curve["step"] == 1000)
    ]["value"]
    cells = panels.cells.set_index(["variant", "tap", "layer"])
    cell = cells.loc[("gelu-layer-pre", "hidden", 1)]
    assert cell["mean"] == pytest.approx((pair.iloc[0] * pair.iloc[1]) ** 0.5)
    assert cell["runs"] == 2
    assert cells.loc[("gelu-none", "hidden", 1), "runs"] == 1  # the other seed diverged
    assert panels.partial


def test_other_scales_take_the_arithmetic_mean(grid: StudyResults) -> None:
    panels = panels_of(grid, "dead_units")
    assert panels.scale.kind == "linear"
    cells = panels.cells.set_index(["variant", "layer"])
    assert cells.loc[("relu-layer-pre", 0), "mean"] == 0
    assert panels_of(grid, "activation_rms_change").scale.kind == "diverging"


def test_taps_come_in_the_order_of_a_block_with_the_variants_in_groups(grid: StudyResults) -> None:
    panels = panels_of(grid, "activation_rms").panels
    assert [panel.tap for panel in panels] == ["residual", "attention_norm", "hidden"]
    assert panels[0].title == "residual stream"
    assert panels[0].layers == (*panels[2].layers, len(panels[2].layers))
    assert [group.title for group in panels[0].groups] == ["ReLU", "GELU", "SiLU", "SwiGLU"]
    assert sum(len(group.labels) for group in panels[0].groups) == 28


@pytest.mark.parametrize("width_in", [5.5, 6.3, 6.75])
def test_titles_of_neighbours_stay_apart(grid: StudyResults, width_in: float) -> None:
    panels = panels_of(grid, "activation_rms")
    names = ("feed-forward norm", "feed-forward output", "pre-activation", "attention output")
    many = tuple(replace(panels.panels[0], title=name) for name in names * 2)
    theme = replace(PAPER, width_in=width_in)
    with themed(theme):
        figure = draw_tap_panels(replace(panels, panels=many), theme)
        figure.draw_without_rendering()
        boxes = [ax.title.get_window_extent() for ax in figure.axes[: len(many)]]
    space = 0.5 * theme.font_size_pt * figure.dpi / 72
    assert all(one.x1 + space < other.x0 for one, other in pairwise(boxes))


def test_groups_of_a_single_tap_stand_side_by_side(grid: StudyResults) -> None:
    panels = panels_of(grid, "dead_units").panels
    assert [panel.title for panel in panels] == ["ReLU", "GELU", "SiLU", "SwiGLU"]
    assert {panel.tap for panel in panels} == {"block"}
    assert [len(panel.groups) for panel in panels] == [1, 1, 1, 1]


def test_what_is_fixed_by_construction_is_known_per_cell(grid: StudyResults) -> None:
    panels = panels_of(grid, "activation_rms")
    fixed = panels.cells.set_index(["variant", "tap", "layer"])["fixed"]
    assert fixed["gelu-layer-pre", "attention_norm", 0] == "its norm fixes the RMS"
    assert fixed["gelu-layer-post", "residual", 0] == ""
    assert fixed["gelu-layer-post", "residual", 1] == "the stream is the output of a norm"
    assert fixed["gelu-none", "hidden", 0] == ""
    assert "Attention norm, with BatchNorm, LayerNorm or GroupNorm – its norm" in panels.fixed


def test_variants_that_have_no_such_number_are_left_out_and_others_have_gaps(
    grid: StudyResults,
) -> None:
    panels = panels_of(grid, "batch_norm_mean_distance")
    shown = {v for panel in panels.panels for group in panel.groups for v in group.labels}
    assert {"gelu-batch-pre", "swiglu-batch-post"} <= shown
    assert "gelu-layer-pre" not in shown
    assert "LayerNorm" in " ".join(panels.without)
    assert "swiglu-group-post" not in shown  # it has not run: nobody knows
    assert len(panels.without) == 20
    assert not panels.gaps
    everywhere = panels_of(grid, "activation_rms")
    assert everywhere.without == ()
    assert everywhere.gaps  # without a norm there is no output of one


def test_variants_of_one_factor_are_one_group(tmp_path: Path) -> None:
    plan = grid_study((0,), {"model.norm": ("layer", "rms")}, report={})
    results = load_study(write_study(tmp_path / "study", plan))
    (panel,) = panels_of(results, "gradient_norm").panels
    (group,) = panel.groups
    assert list(group.labels.values()) == ["LayerNorm", "RMSNorm"]


def test_what_is_of_single_steps_is_a_mean_over_the_second_half(grid: StudyResults) -> None:
    definitions = {
        name: replace(metric, of_step=name == "gradient_norm")
        for name, metric in grid.definitions.items()
    }
    panels = panels_of(replace(grid, definitions=definitions), "gradient_norm")
    curve = grid.layer_curves("gradient_norm")
    looks = curve[
        (curve["variant"] == "gelu-layer-pre") & (curve["layer"] == 1) & (curve["step"] >= 500)
    ]
    assert looks.groupby("run_key").size().min() > 1
    cell = panels.cells.set_index(["variant", "layer"]).loc[("gelu-layer-pre", 1)]
    means = looks.groupby("run_key")["value"].agg(lambda values: values.prod() ** (1 / len(values)))
    assert cell["mean"] == pytest.approx(means.prod() ** 0.5)
    assert (cell["least"], cell["most"]) == pytest.approx((means.min(), means.max()))
    assert (cell["first_step"], cell["last_step"], cell["runs"]) == (looks["step"].min(), 1000, 2)
    assert "mean over the looks in the second half of the run" in panel_caption(panels, "")


@pytest.mark.parametrize(
    ("family", "values", "apart"),
    [
        # The bar goes from the least to the greatest mean: 0 to 10, a fifth of it is 2.
        ("novel_measure", {0: (0, 0), 1: (3.9, 6.0), 2: (4.1, 5.9), 3: (10, 10)}, [1]),
        # From 10^-2 to 10^2, a fifth is 10^0.8 = 6.3: a ratio counts, not a difference.
        (
            "gradient_norm",
            {0: (1e-2, 1e-2), 1: (0.01, 0.07), 2: (10, 60), 3: (50, 200)},
            [1],
        ),
        # From -5 to 5.
        ("activation_rms_change", {0: (-5, -5), 1: (-1.1, 1.1), 2: (-1, 0.9), 3: (2, 2)}, [1]),
        # Runs beyond the bar, which is that of the means, are no closer for it.
        ("novel_measure", {0: (0, 0), 1: (10, 10), 2: (8.5, 11.5), 3: (9.9, 10.1)}, [2]),
    ],
)
def test_cells_are_marked_whose_runs_disagree_on_the_colour_bar(
    tmp_path: Path, family: str, values: dict[int, tuple[float, float]], apart: list[int]
) -> None:
    plan = grid_study((0, 1), {"model.norm": ("layer", "rms")}, report={})
    results = load_study(write_study(tmp_path / "study", plan))
    curves = results.histories["metric"].map(lambda name: split_series(str(name)))
    seeds = results.histories["run_key"].map(results.runs.set_index("run_key")["seed"]).astype(int)
    new = [
        values[curve[2]][seed] if curve and curve[0] == family and curve[2] in values else old
        for curve, seed, old in zip(curves, seeds, results.histories["value"], strict=True)
    ]
    changed = replace(results, histories=results.histories.assign(value=new))
    cells = panels_of(changed, family).cells
    assert len(cells) == 2 * cells["layer"].nunique()
    assert sorted(set(cells[cells["disagree"]]["layer"])) == apart
    assert set(cells[cells["disagree"]]["variant"]) == (set(results.variants) if apart else set())


def test_both_sides_of_zero_are_told_apart_without_colour(grid: StudyResults) -> None:
    around = grid.histories["value"] - grid.histories["value"].median()
    changed = replace(grid, histories=grid.histories.assign(value=around))
    panels = panels_of(changed, "activation_rms_change")
    cells = panels.cells[panels.cells["fixed"] == ""]
    below = panels.below_zero
    assert 0 < below.sum() < len(cells)
    assert list(below[below].index) == list(cells[cells["mean"] < 0].index)
    assert "Minus: below 0." in panel_caption(panels, "")
    with themed(PAPER):
        figure = draw_tap_panels(panels, PAPER)
    minuses = [line for ax in figure.axes for line in ax.lines if line.get_marker() == "_"]
    assert sum(len(line.get_xdata()) for line in minuses) >= below.sum()
    assert not panels_of(grid, "activation_rms").below_zero.any()


def test_no_completed_run_is_no_figure(tmp_path: Path) -> None:
    plan = grid_study((0,), {"model.norm": ("layer", "rms")}, report={})
    fates = {(run.variant, run.seed): Outcome.DIVERGED for run in plan.runs}
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(fates)))
    assert collect_tap_panels(results, "gradient_norm") is None
