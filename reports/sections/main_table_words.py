"""The sentences under the main table: as strong as its numbers allow, and no stronger."""

from __future__ import annotations

import math

from reports.analysis.comparison import Comparison, VariantRow
from reports.words import (
    EDGE_MARK,
    any_of,
    counts_caption,
    number,
    settings_text,
    uneven_text,
)
from studies.records import Leak, Outcome

_LOST = (Outcome.DIVERGED, Outcome.FAILED, Outcome.PRUNED)
"""Outcomes that leave a mean over survivors."""

_DIFFERENT_SETS = (
    "The runs were evaluated on different data (another text, split, tokeniser, number of tokens "
    "or context length): their losses in nats/token cannot be compared, and nothing is ranked."
)


def caption(data: Comparison) -> str:
    """What the columns are, with the marks that occur."""
    level = f"{data.confidence:.0%}"
    parts = [
        "Final loss: validation loss at the last step in nats/token, lower is better; mean over "
        "completed runs with the SD over seeds.",
        f"Difference to the baseline ({data.baseline}): paired by seed, with the {level} t "
        "interval, not corrected for the number of comparisons.",
        f"{data.seeds} {'seed' if data.seeds == 1 else 'seeds'}, {data.length}.",
    ]
    if data.tuned:
        parts.append(
            "Each variant at the values that its search chose on other seeds; beside it all at "
            f"{settings_text(data.shared_settings)}: mean (SD), difference to the baseline."
        )
        if any(row.chosen and row.chosen.edges for row in data.rows):
            parts.append(f"{EDGE_MARK} At the edge of what was tried: the best may lie beyond.")
    if any(row.strong for row in data.rows):
        parts.append(
            "Bold: every variant whose paired interval against the one of lowest mean includes 0."
        )
    if any(_has_lost_runs(row) for row in data.rows):
        parts.append(
            f"A variant with {_lost_words(data)} runs shows the mean of its survivors and is not "
            "ranked."
        )
    if data.evaluation_sets > 1:
        parts.append(_DIFFERENT_SETS)
    if data.budgets:
        parts.append(data.budgets)
    if uneven := uneven_text(data.uneven_steps):
        parts.append(uneven)
    if any(row.leak is Leak.IN_TRAINING for row in data.rows):
        parts.append("† later tokens leak into earlier ones in training; its evaluation is causal.")
    if any(row.leak is Leak.LEAKY for row in data.rows):
        parts.append("‡ later tokens leak into the evaluation: not ranked.")
    if any(row.leak is None and row.loss.n for row in data.rows):
        parts.append("Of a module without forward(tokens) -> logits, leaks are not measured.")
    return " ".join([*parts, counts_caption(data.outcomes, searching=data.searching)])


def sentences(data: Comparison, decimals: int) -> tuple[str, ...]:
    """What the table says, in words that a template picks from the numbers."""
    found = [*_best_sentences(data, decimals), *_baseline_sentences(data), *_unranked(data)]
    if data.searching:
        compared = "some variants have no result yet" if data.tuned else "shared ones are compared"
        found.insert(0, f"The search has not chosen all values yet: {compared}.")
    if data.evaluation_sets > 1:
        found.insert(0, _DIFFERENT_SETS)
    largest = max((row.loss.n for row in data.rows), default=0)
    if 2 <= largest < 6 and 2 ** (1 - largest) > 1 - data.confidence:
        found.append(
            f"With n = {largest} an exact two-sided paired test cannot go below "
            f"p = {2 ** (1 - largest):.3g}: the intervals rest on the t distribution."
        )
    return tuple(found)


def _best_sentences(data: Comparison, decimals: int) -> list[str]:
    best = data.best
    if best is None:
        return [] if data.evaluation_sets > 1 else ["No variant can be ranked yet."]
    on = data.ranked_on
    if any(row.ranked and row.loss.n > on for row in data.rows):
        seeds = "one seed" if on == 1 else f"{on} seeds"
        found = [f"Lowest on the {seeds} that all ranked variants have so far: {best.label}."]
    elif on == 1:
        return [
            f"In one run, {best.label} has the lowest final loss of the ranked variants, "
            f"{number(best.loss.mean, decimals)}; one seed gives no interval."
        ]
    else:
        spread = f"SD {number(best.loss.sd, decimals)}, n = {best.loss.n}"
        found = [
            f"Lowest mean final loss of the ranked variants: {best.label}, "
            f"{number(best.loss.mean, decimals)} ({spread})."
        ]
    compared = [row for row in data.rows if row.to_best is not None and row.to_best.n > 1]
    near = sum(row.strong for row in compared)
    if compared:
        found.append(
            f"Against it, no difference was detected for {near} of {len(compared)} other ranked "
            f"variants ({data.confidence:.0%} interval of the paired difference includes 0)."
        )
    return found


def _baseline_sentences(data: Comparison) -> list[str]:
    """How many ranked variants' intervals lie where; survivors and leaky variants are no part."""
    others = [row for row in data.rows if row.difference is not None]
    known = [row for row in others if row.difference and row.difference.n > 1]
    if not known:
        return []
    baseline = next((row for row in data.rows if row.difference is None), None)
    if baseline is not None and not baseline.ranked:
        return [
            f"The baseline ({data.baseline}) is not ranked: no interval of a difference to it is "
            "counted."
        ]
    rows = [row for row in known if row.ranked]
    unclear = [row for row in rows if row.difference and row.difference.includes_zero]
    return [" ".join([_counted(data, rows), *_left_out(others, rows), *_detectable(unclear)])]


def _counted(data: Comparison, rows: list[VariantRow]) -> str:
    if not rows:
        return f"Against the baseline ({data.baseline}), no ranked variant has an interval."
    differences = [row.difference for row in rows if row.difference]
    below = sum(difference.high < 0 for difference in differences)
    above = sum(difference.low > 0 for difference in differences)
    unclear = sum(difference.includes_zero for difference in differences)
    return (
        f"Against the baseline ({data.baseline}), the interval lies below 0 for {below}, "
        f"above 0 for {above} and includes 0 for {unclear} of {len(rows)} "
        f"{'variant' if len(rows) == 1 else 'variants'}."
    )


def _left_out(others: list[VariantRow], counted: list[VariantRow]) -> list[str]:
    """The variants that the count is not of, and why."""
    unranked = sum(not row.ranked for row in others)
    without = len(others) - len(counted) - unranked
    why = [f"{unranked} not ranked"] * bool(unranked)
    why += [f"{without} without an interval"] * bool(without)
    return [f"Left out of the count: {', '.join(why)}."] if why else []


def _detectable(unclear: list[VariantRow]) -> list[str]:
    """What the seeds could have shown; a spread of 0, as of one run twice, tells nothing."""
    known = [row.detectable for row in unclear if math.isfinite(row.detectable) and row.detectable]
    if not known:
        return []
    ends = dict.fromkeys(f"{end:.2g}" for end in (min(known), max(known)))
    return [
        f"Where no difference was detected, the smallest detectable one (80% power) is "
        f"{' to '.join(ends)} nats/token."
    ]


def _has_lost_runs(row: VariantRow) -> bool:
    return any(row.outcomes[outcome] for outcome in _LOST)


def _lost_words(data: Comparison) -> str:
    """What there may be of, pruned runs only where some are."""
    pruned = any(row.outcomes[Outcome.PRUNED] for row in data.rows)
    return any_of([o.value for o in _LOST if pruned or o is not Outcome.PRUNED], "or")


def _unranked(data: Comparison) -> list[str]:
    def listed(rows: list[VariantRow]) -> str:
        shown = ", ".join(row.label for row in rows[:6])
        return shown + (f" and {len(rows) - 6} more" if len(rows) > 6 else "")

    diverged = [row for row in data.rows if row.outcomes[Outcome.DIVERGED]]
    pruned = [row for row in data.rows if row.outcomes[Outcome.PRUNED] and row not in diverged]
    failed = [
        row for row in data.rows if row.outcomes[Outcome.FAILED] and row not in diverged + pruned
    ]
    leaky = [row for row in data.rows if row.leak is Leak.LEAKY]
    found = []
    if diverged:
        found.append(f"Not ranked, because runs diverged: {listed(diverged)}.")
    if pruned:
        found.append(f"Not ranked, because runs were pruned: {listed(pruned)}.")
    if failed:
        found.append(f"Not ranked until failed runs are run again: {listed(failed)}.")
    if leaky:
        found.append(f"Not ranked, because the evaluation leaks: {listed(leaky)}.")
    return found
