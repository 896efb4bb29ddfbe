from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

import reports.figures.line_panels
from reports.figures.drawing import PAGE, PAPER, Theme, draw_files, themed
from reports.figures.line_panels import collect_lines, draw_lines, lines_caption, panel_notes
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.learning_curves import collect
from studies.metrics import DIVERGED_AT_STEP, VALIDATION_LOSS
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic, grid_study, write_study

ACTIVATIONS = ("relu", "gelu", "silu")
FACTORS: dict[str, Mapping[str, Sequence[object]]] = {
    "one panel": {"model.activation": ACTIVATIONS},
    "two panels": {"model.activation": ACTIVATIONS, "model.norm": ("layer", "none")},
    "four panels": {
        "model.activation": ACTIVATIONS,
        "model.norm": ("layer", "rms"),
        "model.placement": ("pre", "post"),
        "model.position": ("learned", "rope"),
    },
}


@pytest.mark.parametrize("theme", [PAPER, PAGE], ids=lambda theme: theme.name)
@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_titles_notes_and_legend_do_not_overprint(
    factors: Mapping[str, Sequence[object]], theme: Theme, tmp_path: Path
) -> None:
    plan = grid_study((0, 1, 2, 3), factors)
    losses = [Outcome.DIVERGED, Outcome.FAILED, Outcome.PRUNED, Outcome.MISSING, Outcome.COMPLETED]
    fates = {(run.variant, run.seed): losses[i % 5] for i, run in enumerate(plan.runs)}
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(fates, points=4)))
    data = collect(results)
    assert data is not None
    assert all(note.count(",") == 3 for note in panel_notes(results).values())
    with themed(theme):
        figure = draw_lines(data.panels[VALIDATION_LOSS], theme)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        texts = [t for ax in figure.axes for t in (ax.title, *ax.texts) if t.get_text()]
        boxes = [text.get_window_extent(renderer) for text in texts]
        boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    assert len(texts) == len(figure.axes) * (1 if len(figure.axes) == 1 else 2)
    for one, other in combinations(boxes, 2):
        assert Bbox.intersection(one, other) is None
    for box in boxes:
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("width_in", [5.5, 6.3, 6.75, 10.6])
def test_the_legend_of_28_variants_takes_no_room_from_the_panels(
    width_in: float, tmp_path: Path
) -> None:
    factors = {"training.learning_rate": tuple(1e-3 + 1e-4 * i for i in range(24)),
               "model.activation": ("gelu", "relu", "silu", "swiglu", "tanh")}  # fmt: skip
    baseline = {key: levels[0] for key, levels in factors.items()}
    design = {"kind": "one_at_a_time", "baseline": baseline}
    plan = grid_study((0,), factors, design=design, report={})
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(points=4)))
    data = collect_lines(results, VALIDATION_LOSS)
    assert data is not None
    theme = replace(PAPER, width_in=width_in)
    with themed(theme):
        figure = draw_lines(data, theme)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        legend = figure.legends[0].get_window_extent(renderer)
        boxes = [ax.get_window_extent(renderer) for ax in figure.axes]
    assert len(data.layout.legend) == 28
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1
    assert legend.y1 <= figure.bbox.y1
    for box in boxes:
        assert box.y1 < legend.y0
        assert 1.4 < box.width / box.height < 1.8  # two panels


def test_a_mean_ends_where_the_first_of_its_runs_does(small: StudyResults) -> None:
    """Runs of minutes differ in their steps; a mean over those that are left would jump."""
    whole = collect_lines(small, VALIDATION_LOSS)
    assert whole is not None
    first, histories = small.plan.runs[0], small.histories
    short = (histories["run_key"] == first.run_key) & (histories["step"] > 500)
    cut = collect_lines(replace(small, histories=histories[~short]), VALIDATION_LOSS)
    assert cut is not None
    ends = {
        data: panels.means.groupby("variant")["x"].max()
        for data, panels in (("whole", whole), ("cut", cut))
    }
    assert ends["cut"][first.variant] <= 500 < ends["whole"][first.variant]
    others = ends["cut"].drop(first.variant)
    assert (others == ends["whole"][others.index]).all()
    assert set(cut.means["n"]) == {3}
    assert "not smoothed, where all have a value." in lines_caption(cut)
    assert "where all have a value" not in lines_caption(whole)


def test_lines_of_very_many_runs_are_one_image_in_each_panel_and_the_rest_is_vectors(
    small: StudyResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = collect_lines(small, VALIDATION_LOSS)
    assert data is not None
    paths = {}
    for most in (len(data.lines), len(data.lines) - 1):
        monkeypatch.setattr(reports.figures.line_panels, "MOST_VECTOR_POINTS", most)
        svg = draw_files(partial(draw_lines, data), PAPER, ["svg"])["svg"].decode()
        paths[svg.count("<image")] = svg.count("LineCollection")
    assert paths == {0: 4, len(data.layout.panels): 0}


def test_every_run_is_a_line_and_its_cross_is_at_its_last_value(tmp_path: Path) -> None:
    plan = grid_study((0, 1, 2), {"model.activation": ACTIVATIONS})
    fates = {("relu", 1): Outcome.DIVERGED}
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(fates)))
    results = replace(results, runs=results.runs.drop(columns=DIVERGED_AT_STEP))
    data = collect_lines(results, VALIDATION_LOSS)
    assert data is not None
    died = data.lines[(data.lines["variant"] == "relu") & (data.lines["seed"] == 1)]
    assert data.crosses.values.tolist() == [["relu", died["x"].max(), died["y"].iloc[-1]]]
    with themed(PAPER):
        ax = draw_lines(data, PAPER).axes[0]
    drawn = [line for found in ax.collections for line in found.get_segments()]
    by_run = [run[["x", "y"]].to_numpy(float) for _, run in data.lines.groupby("run_key")]
    assert sorted(map(np.ndarray.tolist, drawn)) == sorted(map(np.ndarray.tolist, by_run))
