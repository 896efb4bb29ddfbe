from dataclasses import replace

import pytest

from reports.figures.drawing import MARK_COLOR, PAPER, themed
from reports.figures.layer_maps import collect_layer_maps, draw_layer_maps
from reports.results.frame import StudyResults
from reports.sections.layer_captions import map_caption


def test_maps_average_geometrically_and_keep_what_diverged_runs_left(grid: StudyResults) -> None:
    maps = collect_layer_maps(grid, "gradient_norm", "block")
    assert maps is not None
    assert maps.scale.kind == "log"
    assert len(maps.divergences["relu-none"]) == 2
    left = maps.means[maps.means["variant"] == "relu-none"]
    assert left["step"].max() < max(maps.divergences["relu-none"]) + 1
    assert "swiglu-group-post" not in set(maps.means["variant"])
    assert maps.empty["swiglu-group-post"] == "2 missing"
    curve = grid.layer_curves("gradient_norm")
    pair = curve[
        (curve["variant"] == "gelu-layer-pre") & (curve["layer"] == 2) & (curve["step"] == 500)
    ]["value"]
    cell = maps.means.set_index(["variant", "layer", "step"]).loc[("gelu-layer-pre", 2, 500)]
    assert cell["mean"] == pytest.approx((pair.iloc[0] * pair.iloc[1]) ** 0.5)
    assert cell["runs"] == 2


def test_a_step_at_which_everything_is_0_is_left_out(grid: StudyResults) -> None:
    maps = collect_layer_maps(grid, "activation_drift", "residual")
    assert maps is not None
    assert maps.means["step"].min() > 0  # the drift of the start to itself says nothing
    assert set(maps.means["tap"]) == {"residual"}


def test_layers_fixed_by_construction_say_why(grid: StudyResults) -> None:
    maps = collect_layer_maps(grid, "activation_rms", "residual")
    assert maps is not None
    fixed = maps.means[maps.means["fixed"] != ""]
    assert set(fixed["fixed"]) == {"the stream is the output of a norm"}
    assert fixed["layer"].min() == 1
    assert all(variant.endswith("-post") for variant in fixed["variant"])
    assert "from layer 1 on, with post and BatchNorm, LayerNorm or GroupNorm" in maps.fixed


def test_variants_without_such_a_number_say_so(grid: StudyResults) -> None:
    maps = collect_layer_maps(grid, "batch_norm_mean_distance", "attention_norm")
    assert maps is not None
    assert maps.empty["gelu-layer-pre"] == "not recorded"
    assert set(maps.means["variant"]) == {v for v in grid.variants if "-batch-" in v}


def test_a_tap_that_no_run_recorded_has_no_map(grid: StudyResults) -> None:
    assert collect_layer_maps(grid, "gradient_norm", "residual") is None


def test_divergences_beyond_the_looks_stand_at_the_ends_of_their_map(
    grid: StudyResults,
) -> None:
    maps = collect_layer_maps(grid, "gradient_norm", "block")
    assert maps is not None
    assert not maps.beyond
    low, high = maps.step_limits
    assert high == maps.means["step"].max()
    ends = {**maps.divergences, "relu-none": (low - 40, high + 40)}
    maps = replace(maps, divergences=ends)
    with themed(PAPER):
        figure = draw_layer_maps(maps, PAPER)
    drawn = [line for ax in figure.axes for line in ax.lines if line.get_color() == MARK_COLOR]
    places = {float(x) for line in drawn for x in line.get_xdata()}
    assert {low, high} <= places
    assert min(places) == low
    assert max(places) == high
    assert "Crosses: where runs diverged, at an end of the axis if beyond it." in map_caption(
        maps, ""
    )
