from pathlib import Path

from reports.figures.style import COLORS, INK, grid_of, layout_of
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from tests.reports_tests.conftest import grid_study, write_study


def load(
    tmp_path: Path, factors: dict[str, tuple[object, ...]], **settings: object
) -> StudyResults:
    return load_study(write_study(tmp_path / "study", grid_study((0,), factors, **settings)))


def test_the_default_grid_has_a_panel_per_norm_and_a_row_per_activation(grid: StudyResults) -> None:
    layout = layout_of(grid)
    assert [p.title for p in layout.panels] == ["BatchNorm", "LayerNorm", "GroupNorm", "no norm"]
    assert sorted(v for p in layout.panels for v in p.variants) == sorted(grid.variants)
    pre, post = layout.styles["gelu-layer-pre"], layout.styles["gelu-layer-post"]
    assert pre.color == post.color == layout.styles["gelu-none"].color
    assert pre.dash != post.dash
    assert [label for label, _ in layout.legend][-2:] == ["pre", "post"]
    maps = grid_of(grid)
    assert maps.row_titles == ("ReLU", "GELU", "SiLU", "SwiGLU")
    assert maps.columns == 7


def test_levels_of_the_first_factor_differ_in_colour_and_marker(grid: StudyResults) -> None:
    styles = [layout_of(grid).styles[f"{a}-layer-pre"] for a in ("relu", "gelu", "silu", "swiglu")]
    assert len({s.color for s in styles}) == len({s.marker for s in styles}) == 4


def test_one_factor_beyond_the_colours_still_tells_all_apart(tmp_path: Path) -> None:
    levels = ("relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "relu2", "glu", "bilinear")
    layout = layout_of(load(tmp_path, {"model.activation": levels}))
    assert len(levels) > len(COLORS)
    assert len(set(layout.styles.values())) == len(levels)


def test_one_at_a_time_shows_the_baseline_in_every_panel(tmp_path: Path) -> None:
    base = {"model.activation": "gelu", "model.norm": "layer"}
    results = load(
        tmp_path,
        {"model.activation": ("relu", "gelu", "swiglu"), "model.norm": ("layer", "rms")},
        design={"kind": "one_at_a_time", "baseline": base},
        report={},
    )
    layout = layout_of(results)
    assert [p.title for p in layout.panels] == ["activation", "norm"]
    assert all(p.variants[0] == results.plan.baseline for p in layout.panels)
    assert layout.styles[results.plan.baseline].color == INK
    assert set(layout.styles) == set(results.variants)
    assert list(results.labels.values()) == ["GELU · LayerNorm", "ReLU", "SwiGLU", "RMSNorm"]


def test_a_study_of_one_cell_has_one_panel(tmp_path: Path) -> None:
    results = load(tmp_path, {}, report={})
    assert len(layout_of(results).panels) == 1
    assert grid_of(results).columns == 1


def test_a_first_factor_that_means_nothing_in_some_cells_loses_none_of_them(tmp_path: Path) -> None:
    factors = {
        "model.placement": ("pre", "post"),
        "model.norm": ("layer", "none"),
        "model.activation": ("relu", "gelu"),
    }
    results = load(tmp_path, factors, report={})
    layout = layout_of(results)
    assert set(layout.styles) == set(results.variants)
    assert len(results.variants) == 6
    assert len({style.color for style in layout.styles.values()}) == 3
    assert [label for label, _ in layout.legend][:3] == ["pre", "post", "–"]
    assert {v for row in grid_of(results).rows for v in row} == set(results.variants)
