from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.figures.color_bars import add_color_bar, bar_ticks, log_ticks, round_ticks, tick_labels
from reports.figures.color_scales import ColorScale
from reports.figures.drawing import PAGE, PAPER, Theme, themed

SCALES = [
    *(ColorScale("log", low, high) for low, high in (
        (-3.26, -3.12), (0.31, 0.32), (-4.5, -1.5), (-6.0, 9.0), (-7.3, -6.1), (0.0, 4e-4),
    )),
    *(ColorScale("linear", low, high) for low, high in (
        (0.0, 0.0021), (0.0, 3e-5), (1e6, 1e6 + 9), (0.0, 1.0), (-12345.0, 4.0),
    )),
    ColorScale("diverging", -6.9, 6.9),
    ColorScale("diverging", -3e-5, 3e-5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-2.1, 1.2, [0.01, 0.1, 1, 10]),
        (-2.9, -0.1, [0.003, 0.01, 0.03, 0.1, 0.3]),
        (-0.5, 0.6, [0.5, 1, 2]),
        (-6.0, 9.0, [1e-6, 1e-3, 1, 1e3, 1e6, 1e9]),
        (-3.26, -3.12, [0.00055, 0.0006, 0.00065, 0.0007, 0.00075]),
    ],
)
def test_ticks_of_a_logarithmic_scale(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_ticks_of_a_linear_scale_are_round_and_few() -> None:
    assert round_ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert round_ticks(-6.9, 6.9, 3) == [-5, 0, 5]
    assert round_ticks(1.0, 1.0 + 1e-15) == [1.0, 1.0 + 1e-15]  # nothing rounder is between


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"]),
        ([0.1, 10, 1000, 1e5], ["$10^{-1}$", "$10^{1}$", "$10^{3}$", "$10^{5}$"]),
        ([0.0002, 0.0005, 0.001, 0.002], ["0.0002", "0.0005", "0.001", "0.002"]),
        ([2e-5, 5e-5, 1e-4], [r"$2{\cdot}10^{-5}$", r"$5{\cdot}10^{-5}$", "$10^{-4}$"]),
        ([-2.5, 0, 2.5], ["−2.5", "0.0", "2.5"]),
        ([0, 2e-5], ["0", r"$2{\cdot}10^{-5}$"]),
        ([2.05, 2.06, 2.07], ["2.05", "2.06", "2.07"]),
    ],
)
def test_labels_are_written_in_one_way(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_a_short_bar_has_fewer_ticks_that_lie_on_it(scale: ColorScale) -> None:
    counts = []
    for length in (60, 25, 1):
        values, labels = bar_ticks(scale, length)
        places = [float(place) for place in scale.positions(np.array(values))]
        slack = 1e-6 * (scale.high - scale.low)
        assert scale.low - slack <= min(places)
        assert max(places) <= scale.high + slack
        assert len(set(labels)) == len(labels) >= 2
        counts.append(len(labels))
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("theme", [PAPER, PAGE], ids=lambda theme: theme.name)
@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_labels_do_not_run_into_each_other(scale: ColorScale, above: bool, theme: Theme) -> None:
    with themed(theme):
        figure = Figure(figsize=(theme.width_in, theme.width_in * 0.3), layout="constrained")
        ax = figure.subplots()
        add_color_bar(figure, [ax], scale, "something", above=above)
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        bar = figure.axes[-1]
        ticks = (bar.xaxis if above else bar.yaxis).get_ticklabels()
        boxes = [tick.get_window_extent(renderer) for tick in ticks]
    assert len(boxes) >= 2
    for before, after in pairwise(boxes):
        assert before.x1 < after.x0 if above else before.y1 < after.y0
