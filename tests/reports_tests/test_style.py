from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.colors import to_rgb

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


LEVELS: dict[str, tuple[object, ...]] = {
    "model.activation": ("gelu", "relu", "silu", "swiglu", "sigmoid", "tanh", "relu2", "glu"),
    "training.learning_rate": tuple(round(1e-3 + 1e-4 * i, 6) for i in range(21)),
}
STUDIES: dict[str, tuple[dict[str, tuple[object, ...]], dict[str, object]]] = {
    "one factor": ({"training.learning_rate": tuple(1e-3 + 1e-4 * i for i in range(28))}, {}),
    "one at a time": (
        LEVELS,
        {"design": {"kind": "one_at_a_time", "baseline": {k: v[0] for k, v in LEVELS.items()}}},
    ),
}


@pytest.mark.parametrize(("factors", "settings"), STUDIES.values(), ids=STUDIES)
def test_28_variants_are_told_apart_without_colour(
    factors: dict[str, tuple[object, ...]], settings: dict[str, object], tmp_path: Path
) -> None:
    layout = layout_of(load(tmp_path, factors, report={}, **settings))
    own = [style for style in layout.styles.values() if style.color != INK]
    assert len(layout.styles) == 28
    assert len({(style.marker, style.dash) for style in own}) == len(own)


def test_variants_of_the_default_grid_are_told_apart_without_colour(grid: StudyResults) -> None:
    layout = layout_of(grid)
    for panel in layout.panels:
        styles = [layout.styles[variant] for variant in panel.variants]
        assert len({(style.marker, style.dash) for style in styles}) == len(styles)


def test_a_dash_means_its_level_whatever_the_colour(tmp_path: Path) -> None:
    levels = ("relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "relu2", "glu", "bilinear")
    factors = {"model.activation": levels, "model.norm": ("layer", "rms"),
               "model.placement": ("pre", "post")}  # fmt: skip
    results = load(tmp_path, factors, report={})
    layout, entries = layout_of(results), dict(layout_of(results).legend)
    first, second = ({cell.variant: str(cell.levels[key]) for cell in results.plan.cells}
                     for key in ("model.norm", "model.placement"))  # fmt: skip
    of_level = {"layer": "LayerNorm", "rms": "RMSNorm", "pre": "pre", "post": "post"}
    by_dash = first if "LayerNorm" in entries else second
    for variant, level in by_dash.items():
        assert layout.styles[variant].dash == entries[of_level[level]].dash


VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
"""Linear RGB as it is seen, at full severity. Source: Machado, Oliveira & Fernandes 2009."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def seen(color: str, matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """CIE Lab of a colour through a matrix on linear RGB."""
    coded = np.array(to_rgb(color))
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    white = TO_XYZ.sum(axis=1)
    x, y, z = np.cbrt(TO_XYZ @ np.clip(np.asarray(matrix) @ linear, 0, 1) / white)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("matrix", VISION.values(), ids=VISION)
def test_colours_stay_apart_with_any_colour_vision(matrix: npt.ArrayLike) -> None:
    colors = [seen(color, matrix) for color in (*COLORS, INK)]
    assert min(np.linalg.norm(one - other) for one, other in combinations(colors, 2)) > 10
