"""What is said of single changes: a template picks the words from the numbers."""

from __future__ import annotations

import math

from reports.analysis.against_baseline import UNTESTED, BaselineTest, Reading
from reports.analysis.one_change import OneChange
from reports.sections.contrast_cells import SD_IN_BRACKETS, difference_words, p_words
from reports.sections.main_table.caption import bold_in_caption
from reports.words import (
    EDGE_NOTE,
    LEAK_MARKS,
    SCOPE,
    any_of,
    counts_caption,
    listed,
    percent,
)
from studies.records import Leak

_SIDES = (
    ("Lower", (Reading.LOWER, Reading.BETTER)),
    ("Higher", (Reading.HIGHER, Reading.WORSE)),
)


def sentences(data: OneChange, decimals: int) -> tuple[str, ...]:
    """How many changes were detected, which, and which were not tested."""
    tests = {change.text: row.test for change, row in data.rows if row.test}
    tested = {text: test for text, test in tests.items() if test.reading not in UNTESTED}
    detected = {text: test for text, test in tested.items() if test.reading.is_significant}
    found = []
    if tested:
        baseline, adjusted = data.baseline.label, f"(p adjusted by Holm over {_comparisons(data)})"
        if len(tested) == 1:
            found.append(
                f"One change of one factor of the baseline ({baseline}) could be tested: "
                f"{'a' if detected else 'no'} difference was detected {adjusted}."
            )
        else:
            found.append(
                f"Of {len(tested)} changes of one factor of the baseline ({baseline}) that could "
                f"be tested, a difference was detected for {len(detected) or 'none'} {adjusted}."
            )
    for side, readings in _SIDES:
        named = [
            f"{text} ({difference_words(test.difference, decimals)}, "
            f"{p_words(test.adjusted_p, 'Holm p')})"
            for text, test in detected.items()
            if test.reading in readings
        ]
        if named:
            found.append(f"{side} final loss {SCOPE}: {any_of(listed(named), 'and')}.")
    rest = [test for text, test in tested.items() if text not in detected]
    budgets = [data.comparison.budgets] if data.comparison.budgets else []
    return (*found, *_detectable(rest), *_untested(tests), *budgets)


def _comparisons(data: OneChange) -> str:
    count = len(data.comparison.rows) - 1
    return "the one comparison with it" if count == 1 else f"all {count} comparisons with it"


def _detectable(tests: list[BaselineTest]) -> list[str]:
    """What the seeds could have shown where nothing was detected; a spread of 0 tells nothing."""
    known = [
        test.detectable for test in tests if math.isfinite(test.detectable) and test.detectable
    ]
    if not known:
        return []
    ends = dict.fromkeys(f"{end:.2g}" for end in (min(known), max(known)))
    return [
        "Where none was detected, the smallest detectable difference (80% power, first step of "
        f"Holm's procedure) is {' to '.join(ends)} nats/token."
    ]


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
    seeds = f"{comparison.seeds} {'seed' if comparison.seeds == 1 else 'seeds'}"
    listed_rows = [data.baseline, *(row for _, row in data.rows)]
    tests = [row.test for _, row in data.rows if row.test]
    several = any(row.loss.n > 1 for row in listed_rows)
    spread = f" with the SD over seeds{SD_IN_BRACKETS}" if several else ""
    interval = ""
    if any(test.difference.n > 1 for test in tests):
        interval = f", with the {level} t interval, which is not adjusted"
    as_main = "P(win) as in the main table."
    if any(math.isfinite(test.adjusted_p) for test in tests):
        as_main = f"Holm p and P(win) as in the main table, p adjusted over {_comparisons(data)}."
    parts = [
        f"One change at a time: cells that differ from the baseline ({data.baseline.label}) in one "
        "factor, at its levels of all others. Final loss in nats/token: mean over completed runs"
        f"{spread} ({seeds} planned). Difference to the baseline: paired by seed{interval}.",
        as_main,
    ]
    if any(row.strong for row in listed_rows):
        parts += bold_in_caption(comparison, "the lowest mean of the main table")
    leaks = {data.baseline.leak, *(row.leak for _, row in data.rows)}
    if Leak.IN_TRAINING in leaks:
        parts.append(
            f"{LEAK_MARKS[Leak.IN_TRAINING]} later tokens leak into earlier ones in training; its "
            "evaluation is causal."
        )
    if Leak.LEAKY in leaks:
        parts.append(f"{LEAK_MARKS[Leak.LEAKY]} later tokens leak into the evaluation: not ranked.")
    if comparison.tuned:
        parts.append("Each variant at the values that its search chose.")
    if any(row.chosen and row.chosen.edges for _, row in data.rows):
        parts.append(EDGE_NOTE)
    counts = counts_caption(comparison.outcomes, searching=comparison.searching)
    return " ".join([*parts, counts])
