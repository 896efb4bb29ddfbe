"""The table of `ablate query`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ablations.numerals import aligned, significant
from ablations.query_filter import Key, Value, as_number
from ablations.stored_runs import (
    KIND,
    RUN_NAME,
    SEED,
    STANDARD,
    VARIANT,
    StoredRun,
    distinct,
)


def show_runs(
    console: Console, runs: Sequence[StoredRun], columns: Sequence[Key], asked: Sequence[Key]
) -> None:
    """A table of what differs between runs and of what was asked for; the rest in one line."""
    if not runs:
        return
    shown = [key for key in columns if key in asked or _tells(runs, key)]
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    cells = []
    for key in shown:
        header, *texts = _column(_header(key, shown), [run.value(key) for run in runs])
        table.add_column(header, overflow="fold")
        cells.append(texts)
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    width = None if console.is_terminal else console.measure(table).maximum
    console.print(table, width=width, crop=False)
    left_out = [key for key in columns if key not in (*shown, KIND, RUN_NAME)]
    same = {key: values[0] for key in left_out if (values := distinct(runs, key))}
    if same:
        told = ", ".join(f"{key.name} {_text(value)}" for key, value in same.items())
        console.print(Text(f"the same in all: {told}", style="dim"), soft_wrap=True)


def _column(header: str, values: Sequence[Value | None]) -> list[str]:
    """Header and cells; numbers have their points below each other, and one width."""
    texts = [_text(value) for value in values]
    if any(isinstance(v, str) and as_number(v) is None for v in values):
        return [header, *texts]
    return aligned(header, texts)


def _header(key: Key, shown: Sequence[Key]) -> str:
    """The name, as --sort and --columns take it; with its kind where it would be another's."""
    alone = [other.name for other in shown].count(key.name) == 1
    return key.name if alone or key in STANDARD else str(key)


def _tells(runs: Sequence[StoredRun], key: Key) -> bool:
    """Whether a column that nobody asked for is worth its place."""
    values = {run.value(key) for run in runs}
    if key == RUN_NAME:
        return not distinct(runs, VARIANT)
    if key in (VARIANT, SEED) or (len(runs) == 1 and key != KIND):
        return values != {None}
    return len(values) > 1


def _text(value: Value | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return significant(value, 4)
    return value
