"""What the interaction plot is drawn from, and what its caption says of it."""

from __future__ import annotations

import pytest

from reports.analysis.effects import collect
from reports.analysis.factor_plot import FactorPlot
from reports.figures.drawing import PAGE, PAPER, draw_files, themed
from reports.figures.interaction_plot import interaction_figure
from reports.figures.style import layout_of
from reports.results.frame import StudyResults
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome
from tests.reports_tests.effect_studies import default_grid, study
from tests.reports_tests.searched import at_edge


def plot_of(results: StudyResults) -> FactorPlot:
    data = collect(results.compared)
    assert data is not None
    assert data.plot is not None
    return data.plot


def caption(results: StudyResults) -> str:
    return interaction_figure(plot_of(results), results.outcomes(), searching=False).caption


def test_first_factor_on_x_second_as_lines_third_as_panels() -> None:
    results = default_grid(seeds=2)
    plot = plot_of(results)
    assert plot.x_levels == ("ReLU", "GELU", "SiLU", "SwiGLU")
    assert plot.lines == ("BatchNorm", "LayerNorm", "GroupNorm", "no norm")
    assert [panel.title for panel in plot.panels] == ["pre", "post"]
    line = plot.panels[1].lines[1]
    assert line.label == "LayerNorm"
    assert [cell.variant for cell in line.cells] == [
        f"{activation}-layer-post" for activation in ("relu", "gelu", "silu", "swiglu")
    ]
    assert line.cells[2].losses == tuple(results.values(FINAL_LOSS, "silu-layer-post"))
    assert line.cells[2].mean == pytest.approx(results.values(FINAL_LOSS, "silu-layer-post").mean())


def test_cells_in_which_the_panels_mean_nothing_are_in_each() -> None:
    results = default_grid(seeds=2)
    plot = plot_of(results)
    for panel in plot.panels:
        assert [c.variant for c in panel.lines[-1].cells] == [
            "relu-none", "gelu-none", "silu-none", "swiglu-none",
        ]  # fmt: skip
    assert "Cells in which placement means nothing are in each panel." in caption(results)
    assert "means nothing" not in caption(study(seeds=2))


def test_a_variant_keeps_its_colour() -> None:
    results = default_grid(seeds=2)
    styles = layout_of(results).styles
    cells = [c for p in plot_of(results).panels for line in p.lines for c in line.cells]
    assert all(cell.color == styles[cell.variant].color for cell in cells)


def test_means_over_survivors_are_marked_and_told() -> None:
    fates = {("relu-rms", 0): Outcome.DIVERGED, ("gelu-rms", 1): Outcome.FAILED}
    results = study(fates=fates)
    cells = {c.variant: c for line in plot_of(results).panels[0].lines for c in line.cells}
    assert cells["relu-rms"].is_of_survivors
    assert len(cells["relu-rms"].losses) == 4
    assert not cells["gelu-rms"].is_of_survivors
    assert "mean over the survivors" in caption(results)
    assert "Crosses at the top: diverged runs." in caption(results)
    assert "30 planned, 28 completed, 1 diverged, 1 failed" in caption(results)
    assert "Hollow" not in caption(study())
    assert "Crosses" not in caption(study())


def test_a_level_all_of_whose_cells_leak_in_training_has_the_mark() -> None:
    leaks = {f"{a}-rms": Leak.IN_TRAINING for a in ("relu", "gelu", "silu")}
    plot = plot_of(study(leaks=leaks))
    assert plot.lines == ("RMSNorm†", "LayerNorm")
    assert plot.x_levels == ("ReLU", "GELU", "SiLU")
    assert "† later tokens leak in training" in caption(study(leaks=leaks))


def test_a_choice_at_an_edge_has_a_mark_beside_its_mean() -> None:
    results = at_edge(study(), "relu-rms")
    figure = interaction_figure(plot_of(results), results.outcomes(), searching=False)
    with themed(PAPER):
        texts = [t for ax in figure.draw(PAPER).axes for t in ax.texts if t.get_text() == "*"]
    assert [text.xy[1] for text in texts] == [results.values(FINAL_LOSS, "relu-rms").mean()]
    assert "* At the edge" in figure.caption
    assert "* At the edge" not in caption(study())


def test_the_data_has_every_planned_run() -> None:
    results = study(fates={("relu-rms", 0): Outcome.DIVERGED, ("gelu-rms", 0): Outcome.MISSING})
    table = plot_of(results).table
    assert list(table.columns) == ["variant", "label", "activation", "norm", "seed", "outcome",
                                   "final_loss"]  # fmt: skip
    assert len(table) == 30
    assert table["final_loss"].isna().sum() == 2


@pytest.mark.parametrize(
    "results",
    [
        default_grid(seeds=2, fates={("relu-none", 0): Outcome.DIVERGED}),
        study(seeds=1, factors={"model.activation": ("relu", "gelu")}),
        study(
            seeds=2,
            factors={
                "training.warmup_steps": tuple(range(0, 100, 10)),
                "model.norm": ("rms", "layer"),
            },
        ),
    ],
)
def test_it_is_drawn_with_the_same_bytes_each_time(results: StudyResults) -> None:
    figure = interaction_figure(plot_of(results), results.outcomes(), searching=False)
    for theme in (PAPER, PAGE):
        once, again = (draw_files(figure.draw, theme, ["svg"])["svg"] for _ in range(2))
        assert once == again
    for label in plot_of(results).x_levels:
        assert label.encode() in once


def test_levels_on_the_axis_leave_its_name_to_the_axis() -> None:
    factors = {"training.warmup_steps": (0, 50), "model.norm": ("rms", "layer")}
    plot = plot_of(study(seeds=1, factors=factors))
    assert plot.x_levels == ("0", "50")
    assert plot.factors[0] == "warmup steps"


def test_a_small_study_takes_one_column() -> None:
    few = study(seeds=1, factors={"model.activation": ("relu", "gelu")})
    assert not interaction_figure(plot_of(few), few.outcomes(), searching=False).wide
    many = default_grid(seeds=1)
    assert interaction_figure(plot_of(many), many.outcomes(), searching=False).wide
