"""The sentences on methods that tell what was expected, and whether it was said in advance."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.hypotheses import collect
from reports.analysis.verdicts import HypothesisRow, Standing
from reports.results.frame import StudyResults

MOST_NAMED = 6
"""Hypotheses that a sentence names."""

NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
"""In words, as no sentence begins with a digit."""
_STANDINGS = {
    Standing.CONFIRMATORY: "registered before the first run",
    Standing.CHANGED: "registered before the first run and changed after it",
    Standing.ADDED: "added after the first run",
    Standing.LATE: "registered after the first runs",
    Standing.UNREGISTERED: "not registered",
}


def hypothesis_sentences(results: StudyResults) -> tuple[str, ...]:
    """What is compared in each hypothesis, what was expected, and the margin; none, no sentence."""
    data = collect(results.compared)
    if data is None:
        return ()
    found = []
    for standing, words in _STANDINGS.items():
        if rows := [row for row in data.rows if row.standing is standing]:
            found.append(f"{_counted(rows)} {words}: {_listed(rows)}.")
    if data.changes is not None and data.changes.parts:
        found.append(f"Changed after the first run: {'; '.join(data.changes.parts)}.")
    return tuple(found)


def _counted(rows: Sequence[HypothesisRow]) -> str:
    count = NUMBERS[len(rows)] if len(rows) < len(NUMBERS) else f"In all, {len(rows)}"
    noun, verb = ("hypothesis", "was") if len(rows) == 1 else ("hypotheses", "were")
    exploratory = "" if rows[0].standing.is_confirmatory else ", exploratory,"
    return f"{count} {noun}{exploratory} {verb}"


def _listed(rows: Sequence[HypothesisRow]) -> str:
    named = [_words(row) for row in rows[:MOST_NAMED]]
    rest = len(rows) - len(named)
    return "; ".join([*named, *([f"and {rest} more"] if rest else [])])


def _words(row: HypothesisRow) -> str:
    margin = row.hypothesis.margin
    declared = f"{margin:g} nats/token" if margin is not None else "left to the data"
    expected = row.hypothesis.direction
    return f"{row.of.levels} against {row.against.levels}, expected {expected}, margin {declared}"
