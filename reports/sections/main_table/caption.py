"""The caption of the main table: what its columns are, and the marks that occur."""

from __future__ import annotations

import math

from reports.analysis.against_baseline import Reading
from reports.analysis.comparison import Comparison, VariantRow
from reports.references import formula, mark
from reports.sections.contrast_cells import SD_IN_BRACKETS
from reports.words import (
    EDGE_NOTE,
    OTHER_LOAD,
    any_of,
    counts_caption,
    percent,
    plural,
    settings_text,
    uneven_text,
)
from studies.methods import STATISTICS
from studies.records import Leak, Outcome

_LOST = (Outcome.DIVERGED, Outcome.FAILED, Outcome.PRUNED)
"""Outcomes that leave a mean over survivors."""

NAMED = 4
"""Variants that a caption names; of more it gives the number."""

DIFFERENT_SETS = (
    "The runs were evaluated on different data (another text, split, tokeniser, number of tokens "
    "or context length): their losses in nats/token cannot be compared, and nothing is ranked."
)
"""Said in caption and text."""


def caption(data: Comparison, *, paper: bool = False) -> str:
    """What the columns are, with the marks that occur.

    Args:
        data: the numbers.
        paper: whether only the columns of a paper's table are there.
    """
    spread = ", with the SD over seeds" if any(row.loss.n > 1 for row in data.rows) else ""
    if spread:
        spread += SD_IN_BRACKETS
    parts = [
        "Final loss: validation loss at the last step in nats/token, lower is better; "
        f"{'of one run' if data.seeds == 1 else 'mean over completed runs'}{spread}.",
        f"{plural(data.seeds, 'seed')}, {data.length}.",
        *_tests_in_caption(data),
        *_added_in_caption(data),
        *(_searches_in_caption(data) if paper else _columns_in_caption(data)),
        *bold_in_caption(data),
        *_noise_in_caption(data, paper=paper),
    ]
    if any(_has_lost_runs(row) for row in data.rows):
        parts.append(
            f"A variant with {_lost_words(data)} runs shows the mean of its survivors and is not "
            "ranked."
        )
    if data.evaluation_sets > 1:
        parts.append(DIFFERENT_SETS)
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


def _tests_in_caption(data: Comparison) -> list[str]:
    """Which numbers are against the baseline, and which of them are corrected; those there are."""
    others = len(data.rows) - 1
    if not others:
        return []
    tests = [row.test for row in data.rows if row.test]
    level = percent(data.confidence)
    text = f"Difference to the baseline ({data.baseline}): paired by seed"
    corrected = (
        f"adjusted for all {others} comparisons with it" if others > 1 else "of one comparison"
    )
    if any(test.difference.n > 1 for test in tests):
        text += f", with the {level} t interval, not corrected"
    if any(math.isfinite(test.adjusted_p) for test in tests):
        text += f"; Holm p: paired t test, {corrected}"
    wins = (
        "P(win): share of seeds in which the variant has the lower loss, with the exact "
        f"{level} interval{mark(STATISTICS['clopper-pearson'].cite)}, not corrected."
    )
    return [f"{text}.", *([wins] if any(test.win.estimate >= 0 for test in tests) else [])]


def _added_in_caption(data: Comparison) -> list[str]:
    """Seeds that came or went later: a test on some would stop when it likes what it sees."""
    found = []
    if data.dropped_seeds:
        dropped = any_of([str(seed) for seed in data.dropped_seeds], "and")
        found.append(f"Registered, and dropped after the first run: seed {dropped}.")
    if not data.added_seeds:
        return found
    has_p = any(row.test and math.isfinite(row.test.adjusted_p) for row in data.rows)
    if not has_p:
        return [*found, f"Seeds added after the first run: {data.added_seeds} of {data.seeds}."]
    return [
        *found,
        f"p is over {data.seeds} seeds, {data.added_seeds} of them added after the first run: if "
        "that was for what the others showed, p is too small.",
    ]


def _searches_in_caption(data: Comparison) -> list[str]:
    """Where the variants stand, of a table without the columns of the search."""
    if not data.tuned:
        return []
    edges = [row.label for row in data.rows if row.chosen and row.chosen.edges]
    searches = "search" if len(edges) == 1 else "searches"
    count = any_of(edges, "and") if len(edges) <= NAMED else f"{len(edges)} variants"
    return ["Each variant at the values that its search chose on other seeds."] + [
        f"The {searches} of {count} ended at the edge of what was tried: the best may lie beyond."
    ] * bool(edges)


def _columns_in_caption(data: Comparison) -> list[str]:
    """What the further columns are."""
    parts = []
    if any(row.test and row.test.reading is Reading.EQUIVALENT for row in data.rows):
        parts.append(
            "Equivalent: by two one-sided tests within the larger of 0.01 nats/token and the "
            "baseline's SD over these seeds."
        )
    if data.tuned:
        parts.append(
            "Each variant at the values that its search chose on other seeds; at shared values: "
            f"all at {settings_text(data.shared_settings)}, with the difference to the baseline."
        )
        if any(row.chosen and row.chosen.edges for row in data.rows):
            parts.append(EDGE_NOTE)
    if data.early:
        parts.append(f"Early loss: {data.early}.")
    if data.machines:
        where = "on one machine" if data.machines == 1 else f"on {data.machines} machines"
        alike = "" if data.machines == 1 else ", so that variants differ by these too"
        parts.append(f"Steps/s: median over runs, {where}{alike}. {OTHER_LOAD}")
    return parts


def bold_in_caption(data: Comparison, lowest: str = "the lowest mean") -> list[str]:
    """What bold says, if anything is; `lowest` is what the best variant is called."""
    if not any(row.strong for row in data.rows):
        return []
    fewest = min(row.to_best.n for row in data.rows if row.to_best is not None)
    generous = f"; with {_n(fewest)} most do" if fewest in (2, 3) else ""
    return [
        f"Bold: {lowest}, and each variant whose paired interval against it includes 0 (not "
        f"corrected{generous})."
    ]


def _noise_in_caption(data: Comparison, *, paper: bool) -> list[str]:
    noise = data.noise
    if not math.isfinite(noise.half_width):
        return []
    sd = formula(f"s = {noise.sd:.2g}", f"$s = {noise.sd:.2g}$")
    text = (
        f"Noise floor: {percent(data.confidence)} bound on the difference of two means of one "
        f"variant over {_n(noise.n)} seeds each, none shared, for {sd}{_pooled(data)}"
    )
    if not paper:
        bound = formula("t s √(2/n)", r"$t\,s\sqrt{2/n}$")
        text += (
            f": {bound} with {noise.freedom:.1f} degrees of freedom"
            f"{mark(STATISTICS['noise-floor'].cite)}"
        )
    return [f"{text}."]


def _pooled(data: Comparison) -> str:
    """Of what variants it is a mean: of the steadier ones it is too wide, of others too narrow."""
    sds = sorted(row.loss.sd for row in data.rows if row.ranked and math.isfinite(row.loss.sd))
    if len(sds) < 2:
        return ""
    return f", pooled over SDs of {sds[0]:.2g} to {sds[-1]:.2g}"


def _n(seeds: int) -> str:
    return formula(f"n = {seeds}", f"$n = {seeds}$")


def _has_lost_runs(row: VariantRow) -> bool:
    return any(row.outcomes[outcome] for outcome in _LOST)


def _lost_words(data: Comparison) -> str:
    """What there may be of, pruned runs only where some are."""
    pruned = any(row.outcomes[Outcome.PRUNED] for row in data.rows)
    return any_of([o.value for o in _LOST if pruned or o is not Outcome.PRUNED], "or")
