"""`ablate doctor`: the checks as they are shown."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ablations.console import plain_console
from ablations.doctor.examination import examine
from ablations.doctor.findings import Finding, Mark
from ablations.doctor.situation import situation_of

STYLES = {Mark.OK: "green", Mark.WARNING: "yellow", Mark.PROBLEM: "bold red"}
MARK_WIDTH = max(len(mark) for mark in Mark)
SUBJECT_WIDTH = 20


def doctor(options: argparse.Namespace) -> int:
    """Look at all that a study needs; exit status 1 where there is a problem."""
    situation = situation_of(options)
    console = plain_console()
    counts: Counter[Mark] = Counter()
    group, left_out = "", 0
    with console.status("looking") as status:
        for examined in examine(situation, status.update):
            left_out += examined.left_out
            if examined.findings and examined.check.group != group:
                group = examined.check.group
                console.print(Text(group, style="bold"))
            for finding in examined.findings:
                counts[finding.mark] += 1
                _show(console, finding)
    console.print(", ".join(_counted(counts, left_out)))
    return 1 if counts[Mark.PROBLEM] else 0


def _show(console: Console, finding: Finding) -> None:
    """A finding and its remedy: wrapped in columns on a terminal, else a line for each."""
    mark = Text(finding.mark.value, style=STYLES[finding.mark])
    if not console.is_terminal:
        console.print(
            f"{mark.plain:<{MARK_WIDTH}} {finding.subject}: {finding.found}", soft_wrap=True
        )
        if finding.remedy:
            console.print(f"{'':<{MARK_WIDTH}} -> {finding.remedy}", soft_wrap=True)
        return
    table = Table.grid(padding=(0, 1))
    table.add_column(width=MARK_WIDTH)
    table.add_column(min_width=SUBJECT_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(mark, finding.subject, finding.found)
    if finding.remedy:
        table.add_row("", "", Text.assemble(("→ ", STYLES[finding.mark]), finding.remedy))
    console.print(table)


def _counted(counts: Counter[Mark], left_out: int) -> Iterator[str]:
    for mark, one, many in (
        (Mark.PROBLEM, "problem", "problems"),
        (Mark.WARNING, "warning", "warnings"),
    ):
        yield f"{counts[mark] or 'no'} {one if counts[mark] == 1 else many}"
    yield f"{counts[Mark.OK]} ok"
    if left_out:
        yield f"{left_out} check{'s' * (left_out > 1)} left out until the problems are solved"
