"""Final loss of each variant: every seed, the mean with its interval, and what did not complete."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from reports.analysis.pairwise import FinalLosses
from reports.figures.drawing import LETTER, MARK_COLOR, MUTED, Theme, plain, run_marks
from reports.figures.panel_grid import wrapped
from reports.figures.style import INK
from reports.words import percent
from studies.records import Outcome

PITCH = 1.5
"""Distance of rows over the size of the font."""
LIFT = 0.3
"""How far the runs of a variant stand above its interval, over the distance of rows."""
LABEL_SHARE = 0.36
"""Share of the width that labels of rows may take."""
OVERHANG = 0.6
"""How far intervals widen the axis, over the range of the runs; longer ones are cut."""
INTERVAL_SHADE = 0.18
"""Opacity of the band of the baseline's interval."""
WIDEST_BAND = 0.5
"""Width of that band over the range of all runs, from which on it would hide more than it says."""
FLOOR_DASH = (0, (1, 1.6))
"""Of the lines at the ends of the noise floor."""
LOST: dict[Outcome, dict[str, Any]] = {
    Outcome.DIVERGED: {"marker": "x", "color": MARK_COLOR},
    Outcome.PRUNED: {"marker": "o", "color": INK, "fillstyle": "left"},
    Outcome.FAILED: {"marker": "$!$", "color": INK},
    Outcome.MISSING: {"marker": "o", "color": INK, "fillstyle": "none"},
}
"""How outcomes that leave no final loss are marked."""


class _Line(NamedTuple):
    """A line of the figure: a variant, or the title of a group."""

    variant: str | None
    text: str
    y: float


def draw_dot_plot(data: FinalLosses, theme: Theme) -> Figure:
    """Draw a row per variant, under the titles of their groups."""
    font = theme.font_size_pt
    lines = _lines(data, theme.width_in * 72 * LABEL_SHARE / (font * LETTER))
    lost = [outcome for outcome in LOST if outcome in set(data.runs["outcome"])]
    handles = _handles(data, theme, lost)
    columns = max(1, int(theme.width_in * 72 / (font * LETTER * 24)))
    height = (lines[-1].y + 1.6) * PITCH + 4 + 1.4 * math.ceil(len(handles) / columns)
    figure = Figure(figsize=(theme.width_in, height * font / 72), layout="constrained")
    ax = figure.subplots()
    limits = loss_limits(data)
    if data.evaluation_sets < 2:
        _draw_baseline(ax, data)
    for line in lines:
        if line.variant is not None:
            _draw_variant(ax, data, line.variant, line.y, theme, limits)
            _draw_lost(figure, data, line, theme, lost)
    ax.set_xlim(limits)
    ax.set_ylim(lines[-1].y + 0.8, -0.8)
    _label_lines(ax, lines, font)
    ax.xaxis.set_major_locator(MaxNLocator(max(3, int(theme.width_in * 72 * 0.5 / (font * 5)))))
    ax.grid(axis="x", color=MUTED, alpha=0.25, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_xlabel("final loss (nats/token)")
    figure.legend(
        handles=handles, loc="outside upper center", frameon=False, ncols=columns,
        columnspacing=1.4, handlelength=1.8,
    )  # fmt: skip
    return figure


def loss_limits(data: FinalLosses) -> tuple[float, float]:
    """Ends of the axis: all runs, and of the intervals what is near them."""
    losses = data.runs["loss"].dropna()
    first, last = float(losses.min()), float(losses.max())
    room = OVERHANG * (last - first) or max(0.01, 0.005 * abs(last))
    lows = [row.low for row in data.means.values() if row.n > 1]
    highs = [row.high for row in data.means.values() if row.n > 1]
    low, high = max(first - room, min([first, *lows])), min(last + room, max([last, *highs]))
    pad = 0.03 * (high - low) or room
    return low - pad, high + pad


def shows_interval(data: FinalLosses) -> bool:
    """Whether the baseline's interval is a band too: where it does not cover most runs."""
    row = data.means[data.baseline]
    return row.n > 1 and bool(row.high - row.low < WIDEST_BAND * _spread(data))


def shows_noise(data: FinalLosses) -> bool:
    """Whether the noise floor is drawn: where it is known, and narrower than all runs lie apart."""
    half = data.noise.half_width
    return data.means[data.baseline].n > 0 and math.isfinite(half) and 2 * half < _spread(data)


def _spread(data: FinalLosses) -> float:
    losses = data.runs["loss"].dropna()
    return float(losses.max() - losses.min())


def _lines(data: FinalLosses, letters: float) -> list[_Line]:
    """A label of more lines of text has more room."""
    texts: list[tuple[str | None, str]] = []
    for group in data.groups:
        if group.title:
            texts.append((None, group.title))
        for variant, label in group.labels.items():
            base = " (baseline)" if variant == data.baseline else ""
            name = f"{label}{data.means[variant].marks}{base}"
            texts.append((variant, wrapped(name, " · ", letters)))
    found: list[_Line] = []
    below = 0.0
    for owner, text in texts:
        half = 0.375 * text.count("\n")
        y = below + half if found else 0.0
        found.append(_Line(owner, text, y))
        below = y + half + 1
    return found


def _label_lines(ax: Axes, lines: list[_Line], font: float) -> None:
    texts = [plain(line.text) for line in lines]
    ax.set_yticks([line.y for line in lines], labels=texts, linespacing=1.0)
    ax.tick_params(axis="y", length=0)
    for label, line in zip(ax.get_yticklabels(), lines, strict=True):
        label.set_fontsize(font * 0.95)
        label.set_fontweight("normal" if line.variant else "bold")


def _draw_baseline(ax: Axes, data: FinalLosses) -> None:
    """Its mean as a line, its interval as a band, and lines at the ends of the noise floor."""
    row = data.means[data.baseline]
    if not row.n:
        return
    if shows_noise(data):
        for end in (row.mean - data.noise.half_width, row.mean + data.noise.half_width):
            ax.axvline(end, color=MUTED, linewidth=0.8, linestyle=FLOOR_DASH)
    if shows_interval(data):
        ax.axvspan(row.low, row.high, color=MUTED, alpha=INTERVAL_SHADE, linewidth=0)
    ax.axvline(row.mean, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)))


def _draw_variant(
    ax: Axes,
    data: FinalLosses,
    variant: str,
    y: float,
    theme: Theme,
    limits: tuple[float, float],
) -> None:
    row = data.means[variant]
    losses = data.runs[data.runs["variant"] == variant]["loss"].dropna()
    color, size = data.styles[variant].color, theme.font_size_pt
    run_marks(ax, losses.tolist(), [y - LIFT * (row.n > 1)] * len(losses), color, theme)
    if row.n < 2:
        return
    low, high = max(row.low, limits[0]), min(row.high, limits[1])
    ax.plot([low, high], [y, y], color=color, linewidth=theme.line_pt, zorder=3)
    for marker, end, is_cut in (("<", low, low > row.low), (">", high, high < row.high)):
        if is_cut:
            ax.plot(
                end, y, marker=marker, color=color, markersize=size * 0.45,
                markeredgewidth=0, clip_on=False, zorder=4,
            )  # fmt: skip
    ax.plot(
        row.mean, y, marker="D", color=color, markersize=size * 0.55, zorder=4,
        fillstyle="full" if row.ranked else "none", markeredgewidth=theme.line_pt * 0.8,
    )  # fmt: skip


def _draw_lost(
    figure: Figure, data: FinalLosses, line: _Line, theme: Theme, lost: list[Outcome]
) -> None:
    """Counts at the right margin, a column for each outcome that occurs."""
    counts = data.runs[data.runs["variant"] == line.variant]["outcome"].value_counts()
    font, ax = theme.font_size_pt, figure.axes[0]
    for place, outcome in enumerate(lost):
        if outcome not in counts:
            continue
        to_right = (1.2 + 2.4 * place) * font / 72
        shift = ScaledTranslation(to_right, 0, figure.dpi_scale_trans)
        ax.plot(
            1.0, line.y, linestyle="none", markersize=font * 0.5, clip_on=False,
            markeredgewidth=theme.line_pt * 0.7, transform=ax.get_yaxis_transform() + shift,
            **LOST[outcome],
        )  # fmt: skip
        ax.annotate(
            str(counts[outcome]), xy=(1.0, line.y), xycoords=ax.get_yaxis_transform(),
            xytext=(to_right * 72 + 0.5 * font, 0), textcoords="offset points",
            va="center_baseline", fontsize=font * 0.9,
        )  # fmt: skip


def _handles(data: FinalLosses, theme: Theme, lost: list[Outcome]) -> list[Artist]:
    """Entries of the legend, of what there is to see."""
    size = theme.font_size_pt * 0.5
    base = data.means[data.baseline].n if data.evaluation_sets < 2 else 0
    level = percent(data.confidence)
    found: list[Artist] = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker="o",
            color=MUTED,
            markersize=size * 0.8,
            markeredgewidth=0,
            label="one run",
        )
    ]
    for ranked, name in ((True, f"mean, {level} interval"), (False, "mean, not ranked")):
        if any(row.n > 1 and row.ranked == ranked for row in data.means.values()):
            fill: Literal["full", "none"] = "full" if ranked else "none"
            found.append(
                Line2D(
                    [],
                    [],
                    color=MUTED,
                    marker="D",
                    fillstyle=fill,
                    markersize=size,
                    linewidth=theme.line_pt,
                    label=name,
                )
            )
    if base:
        found.append(
            Line2D(
                [],
                [],
                color=MUTED,
                linestyle=(0, (4, 2)),
                linewidth=0.8,
                label="baseline" if base < 2 else "baseline's mean",
            )
        )
    if base and shows_interval(data):
        found.append(
            Patch(color=MUTED, alpha=INTERVAL_SHADE, linewidth=0, label=f"its {level} interval")
        )
    if base and shows_noise(data):
        found.append(
            Line2D([], [], color=MUTED, linestyle=FLOOR_DASH, linewidth=0.8, label="noise floor")
        )
    return found + [
        Line2D([], [], linestyle="none", markersize=size, label=outcome.value, **LOST[outcome])
        for outcome in lost
    ]
