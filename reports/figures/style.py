"""Which colour, dash and marker a variant has everywhere, and which panel it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Literal

from reports.results.frame import StudyResults
from reports.words import level_label
from studies.design_kinds import OneAtATime
from studies.plan import Cell
from studies.values import Scalar

COLORS = (
    "#0173b2", "#de8f05", "#029e73", "#cc78bc", "#56b4e9", "#d55e00", "#949494", "#ca9161",
)  # fmt: skip
"""Told apart with any colour vision, on white and on black. Source: seaborn `colorblind`."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
Dash = Literal["-"] | tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = (
    "-",
    (0, (4, 1.6)),
    (0, (1, 1.4)),
    (0, (6, 1.4, 1, 1.4)),
)
INK = "#010203"
"""Stands for the colour of text; a page replaces it by its own, so that dark pages work."""
MAX_GROUPS = 8
"""A grid has at most so many columns, a colour key at most so many entries."""


@dataclass(frozen=True)
class VariantStyle:
    """How the lines of a variant look."""

    color: str = INK
    marker: str = "o"
    dash: Dash = "-"


@dataclass(frozen=True)
class Panel:
    """Variants that are drawn into one set of axes."""

    title: str
    variants: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Panels of the line figures and the style of each variant."""

    panels: tuple[Panel, ...]
    styles: dict[str, VariantStyle]
    legend: tuple[tuple[str, VariantStyle], ...]


@dataclass(frozen=True)
class Grid:
    """Rows of single variants, for figures with one panel per variant."""

    rows: tuple[tuple[str, ...], ...]
    row_titles: tuple[str, ...]
    """Empty strings where each panel has a title of its own."""
    titles: dict[str, str]
    """Title over each variant's panel; with row titles, wanted on the first row only."""

    @property
    def columns(self) -> int:
        """Panels in the longest row."""
        return max(len(row) for row in self.rows)


@dataclass(frozen=True)
class RowGroup:
    """Variants that stand together where each has a row."""

    title: str
    """Their level of the first factor; empty where variants are not grouped."""
    labels: dict[str, str]
    """Variant to the label of its row, in order."""


def layout_of(results: StudyResults) -> Layout:
    """The layout that fits the design: factors take colour, dash and panels, or variants do."""
    design = results.plan.study.design
    varied = _varied_factors(results.plan.cells)
    if isinstance(design, OneAtATime) and len(results.variants) > 1:
        return _one_panel_per_factor(results, varied)
    if not varied or (design.kind == "list" and len(results.variants) <= MAX_GROUPS):
        return _color_per_variant(results)
    return _factorial(results, varied)


def joint_layout_of(results: StudyResults) -> Layout:
    """A layout for figures that have all variants in each panel, and must tell them apart."""
    usual = layout_of(results)
    return usual if len(usual.panels) == 1 else _color_per_variant(results)


def grid_of(results: StudyResults) -> Grid:
    """A row per level of the first factor where all levels have the same few cells."""
    cells = results.plan.cells
    varied = _varied_factors(cells)
    if len(varied) > 1:
        first = next(iter(varied))
        levels = [*varied[first], None]  # null: those where the first factor means nothing
        rows = [row for v in levels if (row := [c for c in cells if c.levels.get(first) == v])]
        titles = {c.variant: _title(c, [k for k in varied if k != first]) for c in cells}
        columns = [[titles[c.variant] for c in row] for row in rows]
        if 1 < len(columns[0]) <= MAX_GROUPS and all(c == columns[0] for c in columns):
            return Grid(
                tuple(tuple(c.variant for c in row) for row in rows),
                tuple(level_label(first, row[0].levels.get(first)) for row in rows),
                titles,
            )
    width = 6 if len(cells) > 4 else max(1, len(cells))
    names = results.variants
    wrapped = tuple(names[i : i + width] for i in range(0, len(names), width))
    titles = {v: label.replace(" · ", "\n") for v, label in results.labels.items()}
    return Grid(wrapped, ("",) * len(wrapped), titles)


def row_groups(results: StudyResults) -> tuple[RowGroup, ...]:
    """A group per level of the first factor, if its cells stand together; else one group."""
    cells = results.plan.cells
    varied = _varied_factors(cells)
    together = (RowGroup("", dict(results.labels)),)
    if len(varied) < 2 or isinstance(results.plan.study.design, OneAtATime):
        return together
    first, *others = varied
    groups = []
    for level, members in groupby(cells, key=lambda cell: cell.levels.get(first)):
        labels = {c.variant: _title(c, others).replace("\n", " · ") for c in members}
        if level is None or len(set(labels.values())) < len(labels):
            return together
        groups.append(RowGroup(level_label(first, level), labels))
    return tuple(groups) if len(groups) == len(varied[first]) else together


def _varied_factors(cells: Sequence[Cell]) -> dict[str, list[Scalar]]:
    """Factor to its levels in order of appearance, null left out; factors of one level left out."""
    levels: dict[str, list[Scalar]] = {}
    for cell in cells:
        for key, level in cell.levels.items():
            known = levels.setdefault(key, [])
            if level is not None and level not in known:
                known.append(level)
    return {key: found for key, found in levels.items() if len(found) > 1}


def _title(cell: Cell, factors: Sequence[str]) -> str:
    shown = [(key, cell.levels.get(key)) for key in factors]
    return "\n".join(level_label(key, level) for key, level in shown if level is not None)


def _style(index: int, dash: int) -> VariantStyle:
    """Colours come round sooner than pairs of a colour and a marker."""
    color, round_ = COLORS[index % len(COLORS)], index // len(COLORS)
    return VariantStyle(color, MARKERS[(index + round_) % len(MARKERS)], DASHES[dash % len(DASHES)])


def _own_style(index: int) -> VariantStyle:
    """A style of a marker and a dash that no other has, up to 32 of them: colour is not needed."""
    return _style(index, index)


def _color_per_variant(results: StudyResults) -> Layout:
    styles = {v: _own_style(i) for i, v in enumerate(results.variants)}
    legend = tuple((results.labels[v], style) for v, style in styles.items())
    return Layout((Panel("", results.variants),), styles, legend)


def _one_panel_per_factor(results: StudyResults, varied: dict[str, list[Scalar]]) -> Layout:
    """The baseline in ink in every panel, beside the variants that change the panel's factor."""
    base = results.plan.cell(results.plan.baseline)
    styles = {base.variant: VariantStyle()}
    legend = [(f"{results.labels[base.variant]} (baseline)", styles[base.variant])]
    members: dict[str, list[str]] = {key: [] for key in varied}
    for cell in results.plan.cells:
        changed = [k for k in varied if cell.levels.get(k) != base.levels.get(k)]
        if cell.variant != base.variant and changed:
            group = members[changed[0]]
            styles[cell.variant] = _own_style(len(styles) - 1)
            legend.append((results.labels[cell.variant], styles[cell.variant]))
            group.append(cell.variant)
    panels = tuple(
        Panel(key.rpartition(".")[2].replace("_", " "), (base.variant, *group))
        for key, group in members.items()
        if group
    )
    return Layout(panels, styles, tuple(legend))


def _factorial(results: StudyResults, varied: dict[str, list[Scalar]]) -> Layout:
    """First factor: colour and marker; the one of fewest levels: dash; the rest: panels."""
    hue, *others = varied
    dash = min(others, key=lambda k: len(varied[k])) if len(others) > 1 else None
    if dash is not None and len(varied[dash]) > len(DASHES):
        dash = None
    facets = [key for key in others if key != dash]
    cells = results.plan.cells
    hues = [*varied[hue], *({None} if any(c.levels.get(hue) is None for c in cells) else ())]

    def style(cell: Cell) -> VariantStyle:
        level = cell.levels.get(dash) if dash else None
        position = varied[dash].index(level) if dash and level is not None else 0
        return of_hue(hues.index(cell.levels.get(hue)), position)

    def of_hue(index: int, position: int = 0) -> VariantStyle:
        """Dashes that no factor needs help to tell many levels apart."""
        return _style(index, position if dash else index // len(MARKERS))

    legend = [(level_label(hue, level), of_hue(i)) for i, level in enumerate(hues)]
    if dash is not None:
        legend += [
            (level_label(dash, level), VariantStyle(marker="", dash=DASHES[i]))
            for i, level in enumerate(varied[dash])
        ]
    panels = []
    for levels in product(*([*varied[key], None] for key in facets)):
        chosen = [c for c in cells if tuple(c.levels.get(k) for k in facets) == levels]
        if chosen:
            title = _title(chosen[0], facets).replace("\n", " · ")
            panels.append(Panel(title, tuple(c.variant for c in chosen)))
    return Layout(tuple(panels), {c.variant: style(c) for c in cells}, tuple(legend))
