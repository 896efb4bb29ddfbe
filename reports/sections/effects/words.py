"""What is said of effects and interactions: a template picks the words from the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.analysis.anova import LARGE_OMEGA_SQUARED, Term
from reports.analysis.effects import Counted, Effects, GridEffects
from reports.analysis.level_effects import Contrast
from reports.sections.contrast_cells import difference_words, p_words
from reports.words import (
    SCOPE,
    any_of,
    counts_caption,
    decimals_of,
    headed,
    listed,
    number,
    plural,
)

NAMED = 4
"""Contrasts that a sentence gives; the table has all."""
FEWEST = 3
"""Seeds from which on words take sides: a lucky spread of two has one degree of freedom."""
FALSE_INTERACTIONS = {2: (27, 52), 3: (14, 22), 4: (8, 14), 5: (4, 12), 10: (3, 11)}
"""Seeds to percent of grids without any interaction in which the rule at 0.05 finds one, the least
and the most of four shapes. Source: simulations of docs/statistics.md, "Analysis of variance"."""


def sentences(data: Effects) -> tuple[str, ...]:
    """What the analyses came to, one after the other; reasons for those that are not there."""
    found = list(data.reasons)
    for analysis in data.analyses:
        found.append(_head(analysis, data))
        if analysis.anova is None:
            found.append(_without_anova(analysis, data))
            continue
        found += _interactions(analysis, data)
        if not analysis.is_secondary:
            found += _main_effects(analysis, data)
            found += _simple_effects(analysis, data)
    return (*found, data.budgets) if data.budgets else tuple(found)


def _head(analysis: GridEffects, data: Effects) -> str:
    size = analysis.grid.variants.size
    text = f"{analysis.grid.shape_label}, {size} cells at {_seeds(analysis, data)}."
    if analysis.is_joined:
        text = f"{headed(joined_words(analysis))}: {text}"
    if analysis.counted is Counted.CLIPPED:
        runs, s = counted(analysis.diverged, "diverged run"), "s" * (analysis.diverged == 1)
        text += (
            f" Here {runs} of these cells count{s} as untrained, and no run counts for more than "
            "the loss at initialisation."
        )
    if analysis.counted is Counted.COMPLETED:
        text += " This is the largest grid of levels whose runs all completed at these seeds."
    return " ".join([headed(text), *_left_out(analysis), *_edges(analysis)])


def _edges(analysis: GridEffects) -> list[str]:
    if not analysis.at_edge:
        return []
    cells = plural(analysis.at_edge, "cell")
    return [f"The search of {cells} ended at its edge: beyond it the loss may be lower."]


def _without_anova(analysis: GridEffects, data: Effects) -> str:
    if not analysis.is_final:
        return (
            f"Tests are given once all {data.planned_seeds} seeds of these cells have run and all "
            "searches have chosen: until then there are level means alone."
        )
    return (
        "One seed: no analysis of variance, no interval and no test; the level means are of one "
        "run per cell."
    )


def joined_words(analysis: GridEffects) -> str:
    """Which factors were joined."""
    names = [factor.label for factor in analysis.grid.factors if len(factor.keys) > 1]
    return f"with {any_of(names, 'and')} as one factor"


def _seeds(analysis: GridEffects, data: Effects) -> str:
    n = len(analysis.seeds)
    if n == data.planned_seeds:
        return plural(n, "seed")
    return f"{n} of {data.planned_seeds} seeds, those that all of them have"


def _left_out(analysis: GridEffects) -> list[str]:
    found = [f"{level.label} ({level.reason})" for level in analysis.left_out]
    held = any_of(analysis.grid.held, "and") if analysis.grid.held else ""
    return [
        *([f"Left out: {'; '.join(found)}."] if found else []),
        *([f"All cells have {held}."] if held else []),
    ]


def _interactions(analysis: GridEffects, data: Effects) -> list[str]:
    assert analysis.anova is not None
    terms = [term for term in analysis.anova.terms if len(term.factors) > 1]
    if not terms:
        return []
    alpha = 1 - data.confidence
    found = analysis.interacting(alpha)
    if not found:
        least = min((term.p for term in terms if math.isfinite(term.p)), default=math.nan)
        known = f" (the least p is {number(least, 3)})" if math.isfinite(least) else ""
        return [
            f"No interaction was detected{known}, by the rule p < {alpha:.2g} or partial omega² of "
            f"at least {LARGE_OMEGA_SQUARED}; that does not show that there is none."
        ]
    rule = f"p < {alpha:.2g} or partial omega² of at least {LARGE_OMEGA_SQUARED}"
    named = any_of([f"{analysis.term_label(t)} ({term_words(t)})" for t in found], "and")
    if analysis.at_edge:
        cells = "one cell" if analysis.at_edge == 1 else f"{analysis.at_edge} cells"
        return [
            f"No verdict on {named}: the search of {cells} ended at its edge, and that alone may "
            f"make an interaction by the rule here ({rule})."
        ]
    then = (
        "the level means of factors in it are averages over unlike effects"
        if analysis.is_secondary
        else "see the simple effects, as a mean over levels of another factor may describe no cell"
    )
    rate = _false_rate(len(analysis.seeds), alpha)
    return [f"An interaction may not be negligible ({rule}{rate}): {named}; {then}."]


def _false_rate(seeds: int, alpha: float) -> str:
    """How often the rule finds an interaction where there is none, where that was measured."""
    if seeds not in FALSE_INTERACTIONS or not math.isclose(alpha, 0.05):
        return ""
    least, most = FALSE_INTERACTIONS[seeds]
    return (
        f", met with n = {seeds} by {least} to {most}% of simulated grids of 2 × 2 to 4 × 3 × 2 "
        "without any interaction"
    )


def term_words(term: Term, *, adjusted: bool = False) -> str:
    """The test of a term: "F(1.74, 80.04) = 18.01, p < 0.001, partial omega² 0.22"."""
    df = f"{term.df}, {term.error_df}"
    if term.df > 1:  # as p goes by
        df = ", ".join(number(term.epsilon * n, 2) for n in (term.df, term.error_df))
    f = f"F({df}) = {number(term.f, 2)}, " if math.isfinite(term.f) else ""
    p = p_words(term.holm_p, "Holm p") if adjusted else p_words(term.p)
    return f"{f}{p}, partial omega² {number(term.omega_squared, 2)}"


def _main_effects(analysis: GridEffects, data: Effects) -> list[str]:
    """Of the factors that are in no interaction that counts."""
    assert analysis.anova is not None
    involved = {a for term in analysis.interacting(1 - data.confidence) for a in term.factors}
    every = [row.contrast for row in analysis.levels if row.contrast]
    decimals = decimals_of(contrast.difference.sd for contrast in every)
    found = []
    for term in analysis.anova.terms:
        if len(term.factors) > 1 or term.factors[0] in involved:
            continue
        label = analysis.term_label(term)
        contrasts = [contrast for contrast in every if contrast.factor == label]
        test = term_words(term, adjusted=True)
        head = f"{headed(label)}, mean over all cells of a level:"
        against = f"Against {contrasts[0].reference}"
        if len(analysis.seeds) < FEWEST:
            alone = _numbers_alone(contrasts, decimals)
            found.append(f"{head} with 2 seeds no verdict ({test}). {against}: {alone}.")
        elif term.holm_p <= 1 - data.confidence:
            at_edge = "no verdict, for a search ended at its edge"
            verdict = at_edge if analysis.at_edge else f"the means differ {SCOPE}"
            found.append(
                f"{head} {verdict} ({test}). {against} (p over "
                f"{counted(len(every), 'difference')} of the level means; exploratory): "
                f"{_outcome(contrasts, data, decimals)}."
            )
        else:
            found.append(f"{head} no effect was detected ({test}){_detectable(contrasts)}.")
    return found


def _simple_effects(analysis: GridEffects, data: Effects) -> list[str]:
    decimals = decimals_of(contrast.difference.sd for contrast in analysis.simple)
    found = []
    for factor in dict.fromkeys(contrast.factor for contrast in analysis.simple):
        contrasts = [contrast for contrast in analysis.simple if contrast.factor == factor]
        noun = "contrast" if len(contrasts) == 1 else "contrasts"
        head = f"Simple effects of {factor}, {len(contrasts)} {noun}"
        if len(analysis.seeds) < FEWEST:
            alone = _numbers_alone(contrasts, decimals)
            found.append(f"{head}: with 2 seeds no verdict; {alone}.")
            continue
        family = f"p over {counted(len(analysis.simple), 'contrast')} of their table; exploratory"
        found.append(f"{head} ({family}): {_outcome(contrasts, data, decimals)}.")
    return found


def _numbers_alone(contrasts: Sequence[Contrast], decimals: int) -> str:
    """What was seen, of seeds that are too few for a verdict, and what they could have shown."""
    means = sorted(contrast.difference.mean for contrast in contrasts)
    low, high = (number(mean, decimals, sign=True) for mean in (means[0], means[-1]))
    text = f"differences from {low} to {high}"
    if len(means) == 1:
        text = f"difference {difference_words(contrasts[0].difference, decimals)}"
    return f"{text} nats/token{_detectable(contrasts)}"


def _outcome(contrasts: Sequence[Contrast], data: Effects, decimals: int) -> str:
    """For which contrasts the adjusted p reaches the level, and on which side they lie."""
    alpha = 1 - data.confidence
    significant = [contrast for contrast in contrasts if contrast.is_significant(alpha)]
    clear = [contrast for contrast in significant if not contrast.may_turn]
    lower = [contrast for contrast in clear if contrast.difference.mean < 0]
    higher = [contrast for contrast in clear if contrast.difference.mean > 0]
    parts = [
        f"{side} final loss {SCOPE} for {_named(found, decimals)}"
        for side, found in (("lower", lower), ("higher", higher))
        if found
    ]
    if open_ := [contrast for contrast in significant if contrast.may_turn]:
        parts.append(
            f"no verdict for {_named(open_, decimals)}, where a search of the higher side ended at "
            "its edge"
        )
    rest = [contrast for contrast in contrasts if contrast not in significant]
    if rest:
        count = f" for {len(rest)} of {len(contrasts)}" if significant else ""
        if not significant and len(contrasts) > 1:
            count = f" for any of the {len(contrasts)}"
        parts.append(f"no difference detected{count}{_detectable(rest)}")
    return "; ".join(parts)


def _named(contrasts: Sequence[Contrast], decimals: int) -> str:
    return any_of(listed([_words(contrast, decimals) for contrast in contrasts], NAMED), "and")


def _words(contrast: Contrast, decimals: int) -> str:
    within = f" within {contrast.within}" if contrast.within else ""
    difference = difference_words(contrast.difference, decimals)
    p = p_words(contrast.holm_p, "Holm p")
    against = f" against {contrast.reference}{within}" if within else ""
    return f"{contrast.level}{against} ({difference}, {p})"


def _detectable(contrasts: Sequence[Contrast]) -> str:
    """What the seeds could have shown; a spread of 0 tells nothing."""
    known = [c.detectable for c in contrasts if math.isfinite(c.detectable) and c.detectable]
    if not known:
        return ""
    ends = dict.fromkeys(f"{end:.2g}" for end in (min(known), max(known)))
    return f" (smallest detectable: {' to '.join(ends)} nats/token)"


def counted(count: int, noun: str) -> str:
    """What there is a number of: "the 3 terms", "the one term"."""
    return f"the one {noun}" if count == 1 else f"the {count} {noun}s"


def scope_caption(analysis: GridEffects, data: Effects) -> str:
    """What every table of an analysis is of."""
    size = analysis.grid.variants.size
    parts = [f"{headed(analysis.grid.shape_label)}, {size} cells at {_seeds(analysis, data)}."]
    if analysis.counted is Counted.CLIPPED:
        parts.append(
            f"Losses: {analysis.counted.value} (diverged: {analysis.diverged}). Such losses are "
            "far from normal: intervals and p are rough."
        )
    else:
        parts.append(f"Losses: {analysis.counted.value}.")
    parts += _left_out(analysis)
    if leaking := len(data.leaking.intersection(analysis.runs)):
        parts.append(
            f"In training of {leaking} of these cells later tokens leak into earlier ones; their "
            "evaluation is causal."
        )
    parts += _edges(analysis)
    parts.append(
        "Holm's families are those of this table, and not those of the main table or of all pairs."
    )
    if data.tuned:
        parts.append("Each variant at the values that its search chose.")
    return " ".join([*parts, counts_caption(data.outcomes, searching=data.searching)])
