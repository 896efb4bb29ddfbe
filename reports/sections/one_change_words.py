"""What is said of single changes: a template picks the words from the numbers."""

from __future__ import annotations

import math

from reports.analysis.effects import listed
from reports.analysis.one_change import ChangeRow, OneChange
from reports.sections.contrast_cells import difference_words, p_words
from reports.sections.effects_words import SCOPE
from reports.words import LEAK_MARKS, any_of, counts_caption
from studies.records import Leak


def reading(row: ChangeRow, data: OneChange) -> str:
    """What the numbers of a change allow to say."""
    if row.hindrance is not None:
        return f"not tested: {row.hindrance.value}"
    if row.holm_p <= 1 - data.confidence:
        return f"{'lower' if row.difference.mean < 0 else 'higher'} final loss {SCOPE}"
    known = math.isfinite(row.detectable) and row.detectable
    return "no difference detected" + (
        f" (smallest detectable {row.detectable:.2g})" if known else ""
    )


def sentences(data: OneChange, decimals: int) -> tuple[str, ...]:
    """How many changes were detected, which, and which were not tested."""
    tested = [row for row in data.rows if row.hindrance is None]
    detected = [row for row in tested if row.holm_p <= 1 - data.confidence]
    found = []
    if tested:
        count = f"{len(tested)} {'change' if len(tested) == 1 else 'changes'} of one factor"
        found.append(
            f"Of {count} of the baseline ({data.baseline.label}) that could be tested, a "
            f"difference was detected for {len(detected) or 'none'} (Holm p of at "
            f"most {1 - data.confidence:.2g}){_detectable(tested, detected)}."
        )
    for side, rows in (
        ("Lower", [row for row in detected if row.difference.mean < 0]),
        ("Higher", [row for row in detected if row.difference.mean > 0]),
    ):
        if rows:
            named = [
                f"{row.change} ({difference_words(row.difference, decimals)}, "
                f"{p_words(row.holm_p, 'Holm p')})"
                for row in rows
            ]
            found.append(f"{side} final loss {SCOPE}: {any_of(listed(named), 'and')}.")
    untested: dict[str, list[str]] = {}
    for row in data.rows:
        if row.hindrance is not None:
            untested.setdefault(row.hindrance.value, []).append(row.change)
    found += [
        f"Not tested, {reason}: {any_of(listed(changes), 'and')}."
        for reason, changes in untested.items()
    ]
    return tuple(found)


def _detectable(tested: list[ChangeRow], detected: list[ChangeRow]) -> str:
    """What the seeds could have shown where nothing was detected; a spread of 0 tells nothing."""
    rest = [row.detectable for row in tested if row not in detected]
    known = [value for value in rest if math.isfinite(value) and value]
    if not known:
        return ""
    ends = dict.fromkeys(f"{end:.2g}" for end in (min(known), max(known)))
    return f"; of the others the smallest detectable one is {' to '.join(ends)} nats/token"


def caption(data: OneChange) -> str:
    """What the rows and columns are."""
    level = f"{data.confidence:.0%}"
    seeds = f"{data.planned_seeds} {'seed' if data.planned_seeds == 1 else 'seeds'}"
    parts = [
        f"One change at a time: cells that differ from the baseline ({data.baseline.label}) in one "
        "factor, at its levels of all others. Final loss in nats/token: mean over "
        f"completed runs with the SD over seeds ({seeds} planned). Difference to the baseline: "
        f"paired by seed, with the {level} t interval, which is not adjusted; Holm p: of the "
        f"paired t test, adjusted over the {len(data.rows)} changes, one that is not tested "
        "counting as 1."
    ]
    leaks = {row.leak for row in (data.baseline, *data.rows)}
    if Leak.IN_TRAINING in leaks:
        parts.append(
            f"{LEAK_MARKS[Leak.IN_TRAINING]} later tokens leak into earlier ones in training; its "
            "evaluation is causal."
        )
    if Leak.LEAKY in leaks:
        parts.append(
            f"{LEAK_MARKS[Leak.LEAKY]} later tokens leak into the evaluation: not compared."
        )
    if data.tuned:
        parts.append("Each variant at the values that its search chose.")
    return " ".join([*parts, counts_caption(data.outcomes, searching=data.searching)])
