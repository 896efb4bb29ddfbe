"""Final loss drawn: every run with means and intervals, and the differences of all pairs."""

from __future__ import annotations

from functools import partial

import pandas as pd

from reports.analysis.pairwise import MOST_VARIANTS, FinalLosses, Untested, collect
from reports.exhibits import Exhibits, Figure
from reports.figures.difference_matrix import draw_difference_matrix
from reports.figures.dot_plot import draw_dot_plot, shows_interval, shows_noise
from reports.sections.base import Section
from reports.words import EDGE_NOTE, FINISHED, any_of, counts_caption, percent
from studies.records import Leak, Outcome


def render(data: FinalLosses) -> Exhibits:
    """The dot plot, and the matrix where it can be read and has something in it."""
    figures = [
        Figure(
            "final_loss",
            _dots_caption(data),
            _dots_table(data),
            partial(draw_dot_plot, data),
            runs=_keys(data.runs),
            wide=False,
        )
    ]
    compared = data.pairs[data.pairs["comparable"].astype(bool)]
    if len(compared):
        shown = set(compared["row"]) | set(compared["column"])
        figures.append(
            Figure(
                "differences",
                _matrix_caption(data),
                data.pairs,
                partial(draw_difference_matrix, data),
                runs=_keys(data.runs[data.runs["variant"].isin(shown)]),
                wide=len(data.means) > 8,
            )
        )
    return Exhibits(sentences=_sentences(data), figures=tuple(figures))


def _sentences(data: FinalLosses) -> tuple[str, ...]:
    if len(data.means) > MOST_VARIANTS:
        return (
            f"The matrix of all paired differences is left out: with {len(data.means)} variants "
            f"(more than {MOST_VARIANTS}) it cannot be read. The CSV of the figure has every run.",
        )
    tested, pairs = int(data.pairs["p"].notna().sum()), len(data.pairs)
    if not tested:
        return ()
    alpha, reached = f"{1 - data.confidence:.3g}", len(data.significant)
    side = f"{'at most' if reached else 'above'} {alpha}"
    whole = f"With p adjusted by Holm over all {pairs} pairs of variants"
    if pairs == 1:
        found = f"p of the one pair of variants is {side}"
    elif tested == 1:
        found = f"{whole}, that of the one that could be tested is {side}"
    else:
        of = f" of the {tested} that could be tested" if tested < pairs else ""
        is_ = "is" if reached < 2 else "are"
        found = f"{whole}, {reached or 'none'}{of} {is_} at most {alpha}"
    found += f"{' so far' * data.partial} (n = {data.seeds})."
    return (" ".join([found, *_not_tested(data.pairs, "Not tested")]),)


def _not_tested(pairs: pd.DataFrame, head: str) -> list[str]:
    """How many pairs have no p, by the reason."""
    counts = pairs["untested"].value_counts()
    why = [f"{counts[one.value]} {one.value}" for one in Untested if one.value in counts]
    return [f"{head}: {any_of(why, 'and')}."] if why else []


def _dots_caption(data: FinalLosses) -> str:
    level = percent(data.confidence)
    several, base = any(row.n > 1 for row in data.means.values()), data.means[data.baseline].n
    parts = [f"Final loss in nats/token, lower is better. Dots: runs, n = {_n(data)}."]
    if several:
        parts.append(
            f"Diamonds: means over completed runs, with the {level} t interval of the mean, not "
            "paired and not corrected; arrows where it is longer than the axis."
        )
    if data.evaluation_sets > 1:
        parts.append(f"On {data.evaluation_sets} evaluation sets: losses do not compare.")
    elif base > 1:
        inside = f", in a band of its {level} interval" * shows_interval(data)
        parts.append(f"Dashed: mean of the completed runs of the baseline{inside}.")
    elif base:
        parts.append("Dashed: the baseline.")
    if data.evaluation_sets < 2:
        parts += _noise_words(data)
    if any(row.n > 1 and not row.ranked for row in data.means.values()):
        parts.append("Hollow: not ranked.")
    if data.outcomes[Outcome.COMPLETED] < sum(data.outcomes.values()):
        parts.append("At the right: runs without a final loss, counted.")
    return " ".join([*parts, *_mark_notes(data), _counts(data)])


def _noise_words(data: FinalLosses) -> list[str]:
    """What is drawn of the noise floor, or why nothing is."""
    half = data.noise.half_width
    if not half > 0 or not data.means[data.baseline].n:  # NaN where it is not known
        return []
    exceeded = (
        "which the difference of two means of one variant with the pooled SD of "
        f"{data.noise.sd:.2g} over n = {data.noise.n} seeds each exceeds in at most "
        f"{percent(1 - data.confidence)} of cases"
    )
    if shows_noise(data):
        return [f"Dotted: noise floor, {exceeded}."]
    return [
        f"The noise floor (±{half:.2g}), {exceeded}, is not drawn: lines at that distance to both "
        "sides would be further apart than all runs."
    ]


def _n(data: FinalLosses) -> str:
    """Completed runs of a variant: "5", or "3 to 5"."""
    known = [row.n for row in data.means.values() if row.n]
    ends = dict.fromkeys((min(known), max(known)))
    return " to ".join(map(str, ends))


def _matrix_caption(data: FinalLosses) -> str:
    parts = [
        "Difference of the mean final loss in nats/token, row minus column, paired by seed "
        f"(n = {_pairs_n(data)}); blue, and a minus: the row is lower. Columns have the numbers of "
        "the rows."
    ]
    compared = data.pairs[data.pairs["comparable"].astype(bool)]
    if data.pairs["p"].notna().any():
        pairs = len(data.pairs)
        holm = f" after Holm's correction for all {pairs} pairs" if pairs > 1 else ""
        found = "" if len(data.significant) else "; there is none"
        alpha = f"{1 - data.confidence:.3g}"
        parts.append(f"Dot: paired t test with p at most {alpha}{holm}{found}.")
        parts += _not_tested(compared, "Not tested")
    else:
        parts += _not_tested(compared, "No pair is tested")
    if not data.pairs["comparable"].all():
        parts.append("Hatched: not comparable, for one of the two is not ranked or has no run.")
    return " ".join([*parts, *_mark_notes(data), _counts(data)])


def _pairs_n(data: FinalLosses) -> str:
    known = data.pairs["n"][data.pairs["comparable"].astype(bool)]
    ends = dict.fromkeys((int(known.min()), int(known.max())))
    return " to ".join(map(str, ends))


def _mark_notes(data: FinalLosses) -> list[str]:
    leaks = {row.leak for row in data.means.values()}
    notes = {
        Leak.IN_TRAINING: "† leaks in training; its evaluation is causal.",
        Leak.LEAKY: "‡ the evaluation leaks: not ranked.",
    }
    at_edge = [EDGE_NOTE] * any(row.at_edge for row in data.means.values())
    return [*(note for leak, note in notes.items() if leak in leaks), *at_edge]


def _counts(data: FinalLosses) -> str:
    return counts_caption(data.outcomes, searching=data.searching)


def _dots_table(data: FinalLosses) -> pd.DataFrame:
    """A row per run, with mean and interval of its variant beside it."""
    means = pd.DataFrame(data.means.values()).drop(columns=["label", "leak"])
    table = data.runs.merge(means, on="variant", validate="many_to_one")
    return table.assign(noise_floor=data.noise.half_width)


def _keys(runs: pd.DataFrame) -> tuple[str, ...]:
    """Of runs that have ended, one way or another."""
    return tuple(runs["run_key"][runs["outcome"].isin([*FINISHED, Outcome.FAILED])])


SECTION = Section("Final loss by run and pair", collect, render, absent="")
