"""The sentences on methods that tell what was expected, and whether it was said in advance."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.hypotheses import collect
from reports.analysis.verdicts import HypothesisRow
from reports.results.frame import StudyResults

MOST_NAMED = 6
"""Hypotheses that a sentence names."""

NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
"""In words, as no sentence begins with a digit."""


def hypothesis_sentences(results: StudyResults) -> tuple[str, ...]:
    """What is compared in each hypothesis, what was expected, and the margin; none, no sentence."""
    data = collect(results.compared)
    if data is None:
        return ()
    before = [row for row in data.rows if row.standing.is_confirmatory]
    others = [row for row in data.rows if not row.standing.is_confirmatory]
    found = []
    if before:
        found.append(
            f"{_counted(before, 'was')} registered before the first run: {_listed(before)}."
        )
    if others:
        found.append(f"{_counted(others, 'is')} exploratory: {_listed(others)}.")
    return tuple(found)


def _counted(rows: Sequence[HypothesisRow], verb: str) -> str:
    several = {"was": "were", "is": "are"}
    if len(rows) == 1:
        return f"{NUMBERS[1]} hypothesis {verb}"
    count = NUMBERS[len(rows)] if len(rows) < len(NUMBERS) else f"In all, {len(rows)}"
    return f"{count} hypotheses {several[verb]}"


def _listed(rows: Sequence[HypothesisRow]) -> str:
    named = [_words(row) for row in rows[:MOST_NAMED]]
    rest = len(rows) - len(named)
    return "; ".join([*named, *([f"and {rest} more"] if rest else [])])


def _words(row: HypothesisRow) -> str:
    margin = row.hypothesis.margin
    declared = f"{margin:g} nats/token" if margin is not None else "left to the data"
    expected = row.hypothesis.direction
    return f"{row.of.levels} against {row.against.levels}, expected {expected}, margin {declared}"
