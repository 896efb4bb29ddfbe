"""`ablate show`: one run in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ablations.numerals import BLOCKS, Kind, Scale, aligned, evenly, significant, sparkline
from ablations.run_summary import summary_rows
from ablations.run_view import Curve, RunView, Series
from ablations.run_words import heading, standing
from ablations.selection import TOTAL, Chosen, Selection
from studies.metrics import Metric

STEPS_SHOWN = 5
SPARK_WIDTH = 24
MARKS = "¹²³⁴⁵⁶⁷⁸⁹"
"""Marks of notes on curves that are fixed by construction."""


def show_run(console: Console, view: RunView, selection: Selection) -> None:
    """Everything about a run that the selection asks for."""
    chosen = selection.of(view)
    for text in [*heading(view), *standing(view)]:
        console.print(text, soft_wrap=not console.is_terminal)
    if selection.is_whole_run:
        _print_section(console, "summary" if view.has_ended else "so far", _summary(view))
    _print_section(console, "curves", _curve_table(view, chosen.alone, console))
    if not selection.is_whole_run:
        console.print(_curve_definitions(view, chosen.alone))
    notes: list[str] = []
    for family, series in chosen.families.items():
        console.print()
        _print_family_heading(console, family, view.definition(family))
        console.print(_indented(_family_table(view, family, series, notes, console)))
    if notes:
        console.print("\nfixed by construction:")
        console.print(_pairs([(_mark(note, notes), note) for note in notes]))
    _print_rest(console, view, chosen)


def _print_section(console: Console, title: str, table: Table) -> None:
    if table.row_count:
        console.print()
        console.print(Text(title, style="bold"))
        console.print(_indented(table))


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 2), expand=False)


def _table(*columns: tuple[str, str]) -> Table:
    """A table without lines; a column is its header and `left`, `right` or `wrap`."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for header, kind in columns:
        right = kind == "right"
        table.add_column(header, justify="right" if right else "left", no_wrap=kind != "wrap")
    return table


def _pairs(rows: Iterable[tuple[str, str]]) -> Padding:
    """A short text and what belongs to it, which may be long."""
    table = _table(("", "left"), ("", "wrap"))
    table.show_header = False
    for row in rows:
        table.add_row(*row)
    return _indented(table)


def _summary(view: RunView) -> Table:
    rows = list(summary_rows(view))
    head, *numbers = aligned("value", [row.value for row in rows])
    table = _table(("metric", "left"), (head, "left"), ("unit", "left"), ("definition", "wrap"))
    for row, number in zip(rows, numbers, strict=True):
        if row.metric is None:
            table.add_row(row.name, number)
        else:
            meaning = "; ".join(filter(None, (row.metric.definition, row.remark)))
            unit = Text(row.metric.unit, style="dim")
            table.add_row(row.metric.label, number, unit, Text(meaning, style="dim"))
    return table


def _curve_definitions(view: RunView, names: Sequence[str]) -> Padding:
    metrics = [metric for name in names if (metric := view.definition(name))]
    return _pairs([(metric.label, metric.definition) for metric in metrics])


def _curve_table(view: RunView, names: Sequence[str], console: Console) -> Table:
    figures = [_figures(view.curves[name], view.definition(name)) for name in names]
    columns = [
        aligned(head, [row[place] for row in figures])
        for place, head in enumerate(("first", "best/peak", "at step", "last"))
    ]
    heads = ((column[0], "left") for column in columns)
    table = _table(("curve", "wrap"), *heads, ("steps", "right"), ("", "left"))
    for name, *row in zip(names, *(column[1:] for column in columns), strict=True):
        curve = view.curves[name]
        spark = _spark(curve, _scale([curve], _kind(view, name)), console)
        table.add_row(_curve_label(view, name), *row, _span(curve.steps), spark)
    return table


def _curve_label(view: RunView, name: str) -> Text:
    metric = view.definition(name)
    if metric is None:
        return Text(name.replace("_", " ").replace("/", ", ") if name == TOTAL else name)
    unit = (f", {metric.unit}", "dim") if metric.unit else ""
    return Text.assemble(metric.label, unit)


def _figures(curve: Curve, metric: Metric | None) -> tuple[str, ...]:
    """First value, the lowest where lower is better and the highest elsewhere, its step, last."""
    extreme = min if metric and metric.direction == "lower" else max
    best = extreme(curve.values)
    at = curve.steps[curve.values.index(best)]
    first, middle, last = (significant(v, 4) for v in (curve.values[0], best, curve.values[-1]))
    return first, middle, f"{at:,}", last


def _kind(view: RunView, name: str) -> Kind:
    metric = view.definition(name) or view.definition(name.rpartition("/")[0])
    return metric.scale if metric else "linear"


def _scale(curves: Iterable[Curve], kind: Kind) -> Scale:
    return Scale.of((value for curve in curves for value in curve.values), kind)


def _spark(curve: Curve, scale: Scale, console: Console) -> Text:
    """A sparkline in what the numbers leave of the line."""
    width = min(SPARK_WIDTH, max(len(BLOCKS), console.width - 80))
    return Text(sparkline(curve.values, scale, width), style="cyan")


def _span(steps: Sequence[int]) -> str:
    return f"{steps[0]:,}–{steps[-1]:,}"


def _print_family_heading(console: Console, family: str, metric: Metric | None) -> None:
    if metric is None:
        console.print(Text(family, style="bold"))
        return
    unit = f", {metric.unit}" if metric.unit else ""
    console.print(Text.assemble((metric.label + unit, "bold"), (f"   {family}", "dim")))
    console.print(Padding(Text(metric.definition, style="dim"), (0, 0, 0, 2), expand=False))


def _family_table(
    view: RunView, family: str, series: Sequence[Series], notes: list[str], console: Console
) -> Table:
    """Layers against steps; the sparklines of one tap share a scale."""
    steps = _common_steps([member.curve.steps for member in series])
    shown, kind = evenly(steps, STEPS_SHOWN), _kind(view, family)
    sparks = f"steps {_span(steps)}" + (" (log)" if kind == "log" else "")
    found = [dict(zip(s.curve.steps, s.curve.values, strict=True)) for s in series]
    columns = [
        aligned(f"{step:,}" if place else f"step {step:,}", [_cell(v.get(step)) for v in found])
        for place, step in enumerate(shown)
    ]
    heads = ((column[0], "left") for column in columns)
    table = _table(("layer", "left"), *heads, (sparks, "left"))
    rows = list(zip(series, zip(*(column[1:] for column in columns), strict=True), strict=True))
    for place, (_, tap_rows) in enumerate(groupby(rows, key=lambda row: row[0].tap)):
        if place:
            table.add_row()
        members = list(tap_rows)
        scale = _scale((member.curve for member, _ in members), kind)
        for member, numbers in members:
            mark = _mark(view.fixed(family, member), notes)
            spark = _spark(member.curve, scale, console)
            table.add_row(
                f"{member.leaf} {mark}".rstrip(), *numbers, spark, style="dim" if mark else ""
            )
    return table


def _common_steps(series: Sequence[Sequence[int]]) -> list[int]:
    """Steps at which every curve has a value; all steps where there is none of these."""
    steps = [set(each) for each in series]
    return sorted(set.intersection(*steps) or set.union(*steps))


def _cell(value: float | None) -> str:
    return "–" if value is None else significant(value)


def _mark(note: str | None, notes: list[str]) -> str:
    """The mark of a note; a new note is added to the list."""
    if note is None:
        return ""
    if note not in notes:
        notes.append(note)
    return MARKS[min(notes.index(note), len(MARKS) - 1)]


def _print_rest(console: Console, view: RunView, chosen: Chosen) -> None:
    """What was left out, and how to see it."""
    shown = {member.name for series in chosen.families.values() for member in series}
    hidden = len(view.curves.keys() - shown - set(chosen.alone))
    if not hidden:
        return
    console.print(f"\n{hidden} more curves: --all, --json, or")
    names, taps = ", ".join(chosen.known), ", ".join(chosen.known_taps)
    console.print(_pairs([("--family", names), ("--tap", taps)]))
