"""What is said of hypotheses: a template picks the words from the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from reports.analysis.hypotheses import HypothesisResults
from reports.analysis.verdicts import Finding, HypothesisRow, Side
from reports.words import (
    SCOPE,
    any_of,
    factor_label,
    plural,
)
from studies.records import Outcome
from studies.registration import HYPOTHESES, Registration

NOTHING_DECLARED = (
    "No hypothesis was declared before the first run: every comparison of this report is "
    "exploratory."
)


_UNCORRECTED = "not corrected for the number of hypotheses"
_WITHOUT_VERDICT = {
    Finding.SEARCHING: "not decided yet: the search has not chosen for every variant",
    Finding.SURVIVORS: "cannot be decided from means over survivors",
    Finding.LEAKY: "cannot be decided: later tokens leak into an evaluation",
    Finding.DIFFERENT_TEXTS: "cannot be decided: the losses are on different evaluation sets",
    Finding.NO_PAIR: "not decided yet: no seed has all its runs",
    Finding.ONE_PAIR: "not testable with n = 1",
}


def verdict(row: HypothesisRow) -> str:
    """What the results allow to say of a hypothesis."""
    finding, difference = row.finding, row.difference
    if finding in _WITHOUT_VERDICT:
        return _WITHOUT_VERDICT[finding]
    if finding is Finding.TOO_FEW:
        return f"not decided yet: n = {difference.n} of {len(row.seeds)} planned"
    if finding is Finding.NO_DIFFERENCE:
        return _no_difference(row)
    if finding is Finding.EQUIVALENT:
        return f"equivalent within {margin_text(row)}"
    if finding is Finding.NOT_EQUIVALENT:
        rest = "" if difference.includes_zero else f"; interval {_side_of_zero(row)}"
        return f"equivalence within {margin_text(row)} not shown{rest}"
    if finding is Finding.AT_EDGE:
        return (
            f"interval {_place(row)}, but a search ended at its edge: what is worse may do better"
        )
    if finding is Finding.AGAINST_CLAIM:
        return f"against the claim: interval {_place(row)}, {_UNCORRECTED}"
    if finding is Finding.NOT_SIGNIFICANT:
        return f"interval {_place(row)}, but not significant after Holm"
    if finding is Finding.UNCONFIRMED:
        return f"interval {_place(row)}; exploratory: to be confirmed on new seeds"
    is_lower = difference.high < 0
    words = f"{'lower' if is_lower else 'higher'} final loss {SCOPE}"
    if finding is Finding.AS_CLAIMED:
        return words
    return f"{'better' if is_lower else 'worse'}: {words}, by more than {row.margin:.2g}"


def _no_difference(row: HypothesisRow) -> str:
    return "no difference detected" + (
        f" (smallest detectable {row.detectable:.2g})" if names_detectable(row) else ""
    )


def names_detectable(row: HypothesisRow) -> bool:
    """Whether the verdict gives the smallest detectable difference."""
    return row.finding is Finding.NO_DIFFERENCE and math.isfinite(row.detectable)


def _place(row: HypothesisRow) -> str:
    """Where the interval lies."""
    if row.hypothesis.direction == "equivalent":
        return f"within {margin_text(row)}"
    return _side_of_zero(row)


def _side_of_zero(row: HypothesisRow) -> str:
    return "below 0" if row.difference.high < 0 else "above 0"


def margin_text(row: HypothesisRow) -> str:
    """The margin as an interval around 0."""
    return f"±{row.margin:.2g}"


def expected(row: HypothesisRow) -> str:
    """What was expected of the difference."""
    direction = row.hypothesis.direction
    return f"{direction} within {margin_text(row)}" if direction == "equivalent" else direction


def contrast(row: HypothesisRow) -> str:
    """What is compared, and what was expected of it."""
    return f"{_mean(row.of)} minus {_mean(row.against)}: expected {expected(row)}"


def _mean(side: Side) -> str:
    return side.levels + (f" (mean of {side.cells} cells)" if side.cells > 1 else "")


def standing(row: HypothesisRow, data: HypothesisResults) -> str:
    """Whether it was said in advance, and of the study as it is now."""
    study_changed = data.changes is not None and data.changes.parts
    if row.standing.is_confirmatory and study_changed:
        return f"{row.standing}, in a study that was changed"
    return row.standing.value


def is_declared_alike(data: HypothesisResults) -> bool:
    """Whether all hypotheses were declared in one way."""
    return len({standing(row, data) for row in data.rows}) == 1


def sentences(data: HypothesisResults) -> tuple[str, ...]:
    """What stands before the table."""
    found = [_registered(data)]
    if data.changes is not None and data.changes.parts:
        found.append(f"Changed after the first run: {'; '.join(data.changes.parts)}.")
        if any(part.startswith("seeds: ") for part in data.changes.parts):
            found.append(
                "What is confirmatory is tested on the seeds that were registered for it, and on "
                "no others; the rest of the report has the seeds that the study has now."
            )
    if data.dropped_seeds:
        noun = "seed" if len(data.dropped_seeds) == 1 else "seeds"
        listed = any_of([str(seed) for seed in data.dropped_seeds], "and")
        found.append(
            f"Registered, and no longer in the study: {noun} {listed}. A confirmatory hypothesis "
            "that was planned for what is not there stays undecided."
        )
    found += [
        f"Registered, and no longer in the file: {name} ({claim.rstrip('.')})."
        for name, claim in data.removed.items()
    ]
    if data.changes is not None:
        found += [f"Changed: {name} ({how})." for name, how in data.changes.details.items()]
    found += [data.budgets] if data.budgets else []
    for row in data.rows:
        found += _cautions(row)
    found += _in_main_table(data)
    undeclared = [
        row for row in data.rows if row.hypothesis.margin is None and row.standing.is_confirmatory
    ]
    if undeclared:
        names = ", ".join(row.name for row in undeclared)
        found.append(
            f"No margin was declared for {names}: it is the larger of 0.01 and the SD over seeds "
            "of what is compared with, so the data had a say in it."
        )
    return tuple(found)


def _in_main_table(data: HypothesisResults) -> list[str]:
    """Which hypotheses are on a pair that the main table has a reading of as well."""
    found = [
        f"{row.name} ({data.pairs[row.name]}{_declared_margin(row)})"
        for row in data.rows
        if row.name in data.pairs
    ]
    if not found:
        return []
    return [
        "The main table has a reading of the same pair with the baseline for "
        f"{any_of(found, 'and')}. That reading is of a two-sided test with p adjusted over all "
        "comparisons with the baseline, and knows no declared margin: the two may differ."
    ]


def _declared_margin(row: HypothesisRow) -> str:
    return "" if row.hypothesis.margin is None else f", declared margin {margin_text(row)}"


def _registered(data: HypothesisResults) -> str:
    """Whether anything was said in advance; the rest of the report is exploratory."""
    registration = data.registration
    if registration is None:
        return (
            "The study was not registered before its first run: its hypotheses, and every other "
            "comparison of this report, are exploratory."
        )
    if not registration.is_intact:
        return (
            "The registration is not what was registered (its digests do not match): the "
            "hypotheses, and every other comparison of this report, are exploratory."
        )
    if registration.after_first_runs:
        return (
            f"The study was registered after its first runs ({_source(registration)}): its "
            "hypotheses, and every other comparison of this report, are exploratory."
        )
    count = len(registration.parts[HYPOTHESES])
    noun, verb = ("hypothesis", "was") if count == 1 else ("hypotheses", "were")
    return (
        f"{count or 'No'} {noun} {verb} registered before the first run "
        f"({_source(registration)}). What is not marked confirmatory, and every other comparison "
        "of this report, is exploratory."
    )


def _source(registration: Registration) -> str:
    time = datetime.fromisoformat(registration.registered_at)
    git = registration.git
    commit = "no git commit" if git.commit is None else f"git commit {git.commit[:10]}"
    changed = " with uncommitted changes" if git.dirty else ""
    return f"{time:%Y-%m-%d %H:%M} UTC, digest {registration.digest}, {commit}{changed}"


def _cautions(row: HypothesisRow) -> Iterator[str]:
    """What else is in the difference of a hypothesis, or not in it."""
    if row.finding is Finding.SURVIVORS:
        yield _given_up(row)
    if row.confounded:
        keys = any_of([factor_label(key) for key in row.confounded], "and")
        yield (
            f"{row.name} compares cells that differ in {keys} as well, in unequal shares: its "
            "effect is in the difference."
        )
    if row.interactions:
        what = "an interaction" if len(row.interactions) == 1 else "interactions"
        yield (
            f"{row.name}: {what} may not be negligible ({any_of(row.interactions, 'and')}), so "
            "that its difference is a mean over unlike effects and may describe no cell; see the "
            "simple effects."
        )
    if leaking := (*row.of.leaking, *row.against.leaking):
        yield (
            f"{row.name}: later tokens leak in the training of {any_of(leaking, 'and')}, which is "
            "in its difference."
        )
    if edges := (*row.of.at_edge, *row.against.at_edge):
        yield (
            f"{row.name}: the search of {any_of(edges, 'and')} ended at the edge of what was "
            "tried, and might do better beyond it."
        )


def _given_up(row: HypothesisRow) -> str:
    sides = (row.of, row.against)
    counts = [
        f"{side.given_up} of {sum(side.outcomes.values())} runs of {side.levels}" for side in sides
    ]
    pruned = any(side.outcomes[Outcome.PRUNED] for side in sides)
    how = "diverged or were pruned" if pruned else "diverged"
    n = row.difference.n
    return (
        f"{row.name}: {counts[0]} and {counts[1]} {how}; what is shown is the difference over the "
        f"{plural(n, 'seed')} that completed in all cells."
    )
