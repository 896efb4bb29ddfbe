"""What is said of single changes: a template picks the words from the numbers."""

from __future__ import annotations

import math

from reports.analysis.against_baseline import UNTESTED, BaselineTest, Reading
from reports.analysis.one_change import OneChange
from reports.sections.contrast_cells import SD_IN_BRACKETS, difference_words, p_words
from reports.sections.main_table.caption import bold_in_caption
from reports.sections.readings import detectable_sentence
from reports.words import (
    EDGE_NOTE,
    LEAK_MARKS,
    SCOPE,
    any_of,
    counts_caption,
    listed,
    percent,
    plural,
)
from studies.records import Leak

_SIDES = (
    ("Lower", (Reading.LOWER, Reading.BETTER)),
    ("Higher", (Reading.HIGHER, Reading.WORSE)),
)


def sentences(data: OneChange, decimals: int) -> tuple[str, ...]:
    """How many changes were detected, which, which have no verdict, and which were not tested."""
    tests = {change.text: row.test for change, row in data.rows if row.test}
    tested = {text: test for text, test in tests.items() if test.reading not in UNTESTED}
    settled = {text: test for text, test in tested.items() if test.reading is not Reading.AT_EDGE}
    found = [_detected(data, tested, settled)] if tested else []
    for side, readings in _SIDES:
        if named := _named(settled, readings, decimals):
            found.append(f"{side} final loss {SCOPE}: {named}.")
    if named := _named(tested, (Reading.AT_EDGE,), decimals):
        found.append(
            f"No verdict, for a search ended at its edge, beyond which the loss may be lower: "
            f"{named}."
        )
    rest = [test for test in settled.values() if not test.reading.is_significant]
    comparisons = len(data.comparison.rows) - 1
    found += detectable_sentence("Where none was detected", rest, comparisons)
    found += _untested(tests)
    return (*found, data.comparison.budgets) if data.comparison.budgets else tuple(found)


def _detected(
    data: OneChange, tested: dict[str, BaselineTest], settled: dict[str, BaselineTest]
) -> str:
    """Of how many changes there is a test, a verdict, and a difference."""
    detected = sum(test.reading.is_significant for test in settled.values())
    open_ = len(tested) - len(settled)
    of_baseline = f"of one factor of the baseline ({data.baseline.label})"
    head = f"Of {len(tested)} changes {of_baseline} that could be tested"
    one = f"{'a' if detected else 'no'} difference was detected"
    several = f"a difference was detected for {detected or 'none'}"
    if len(tested) == 1:
        head = f"One change {of_baseline} could be tested"
        text = f"{head}: {one}" if settled else f"{head}, and has no verdict"
    elif not settled:
        text = f"{head}, none has a verdict"
    elif open_:
        has = "1 has" if open_ == 1 else f"{open_} have"
        others = f"{several} of the {len(settled)} others"
        text = f"{head}, {has} no verdict; {others if len(settled) > 1 else f'{one} for the other'}"
    else:
        text = f"{head}, {several}"
    return f"{text} (p {_over(data)})."


def _named(tests: dict[str, BaselineTest], readings: tuple[Reading, ...], decimals: int) -> str:
    """The changes of some readings, with their numbers."""
    named = [
        f"{text} ({difference_words(test.difference, decimals)}, "
        f"{p_words(test.adjusted_p, 'Holm p')})"
        for text, test in tests.items()
        if test.reading in readings
    ]
    return any_of(listed(named), "and")


def _over(data: OneChange, adjusted: str = "adjusted by Holm over") -> str:
    """Whose p it is: "adjusted by Holm over all 5 comparisons with it"."""
    count = len(data.comparison.rows) - 1
    if count == 1:
        return "of the one comparison with it"
    return f"{adjusted} all {count} comparisons with it"


def _untested(tests: dict[str, BaselineTest]) -> list[str]:
    changes: dict[str, list[str]] = {}
    for text, test in tests.items():
        if test.reading in UNTESTED:
            changes.setdefault(test.reading.value, []).append(text)
    return [
        f"Not tested, {reason}: {any_of(listed(named), 'and')}."
        for reason, named in changes.items()
    ]


def caption(data: OneChange) -> str:
    """What the rows and columns are."""
    comparison = data.comparison
    level = percent(comparison.confidence)
    seeds = plural(comparison.seeds, "seed")
    listed_rows = [data.baseline, *(row for _, row in data.rows)]
    tests = [row.test for _, row in data.rows if row.test]
    several = any(row.loss.n > 1 for row in listed_rows)
    spread = f" with the SD over seeds{SD_IN_BRACKETS}" if several else ""
    interval = ""
    if any(test.difference.n > 1 for test in tests):
        interval = f", with the {level} t interval, which is not adjusted"
    as_main = "P(win) as in the main table."
    if any(math.isfinite(test.adjusted_p) for test in tests):
        as_main = f"Holm p and P(win) as in the main table, p {_over(data, 'adjusted over')}."
    parts = [
        f"One change at a time: cells that differ from the baseline ({data.baseline.label}) in one "
        "factor, at its levels of all others. Final loss in nats/token: mean over completed runs"
        f"{spread} ({seeds} planned). Difference to the baseline: paired by seed{interval}.",
        as_main,
    ]
    if any(row.strong for row in listed_rows):
        parts += bold_in_caption(comparison, "the lowest mean of the main table")
    leaks = {row.leak for row in listed_rows}
    if Leak.IN_TRAINING in leaks:
        parts.append(
            f"{LEAK_MARKS[Leak.IN_TRAINING]} later tokens leak into earlier ones in training; its "
            "evaluation is causal."
        )
    if Leak.LEAKY in leaks:
        parts.append(f"{LEAK_MARKS[Leak.LEAKY]} later tokens leak into the evaluation: not ranked.")
    if comparison.tuned:
        parts.append("Each variant at the values that its search chose.")
    if any(row.chosen and row.chosen.edges for row in listed_rows):
        parts.append(EDGE_NOTE)
    counts = counts_caption(comparison.outcomes, searching=comparison.searching)
    return " ".join([*parts, counts])
