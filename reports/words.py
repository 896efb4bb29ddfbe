"""How numbers, levels, outcomes and counts are written, the same in every table and figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from studies.diagnostics import TAPS
from studies.metrics import Metric
from studies.protocol import Range
from studies.records import Leak, Outcome
from studies.vocabulary import VOCABULARIES, label_of

ABSENT = "–"
"""Stands where a number does not exist; a zero never does."""

OUTCOME_MARKS: dict[Outcome, str] = {
    Outcome.COMPLETED: "●",
    Outcome.DIVERGED: "✕",
    Outcome.PRUNED: "◑",
    Outcome.FAILED: "!",
    Outcome.MISSING: "○",
}
"""One mark per outcome, told apart without colour."""

LEAK_MARKS: dict[Leak | None, str] = {
    Leak.CAUSAL: "",
    Leak.IN_TRAINING: "†",
    Leak.LEAKY: "‡",
    None: "",
}

EDGE_MARK = "*"
"""Behind a chosen value at the edge of what was tried, and behind a variant that has one."""
EDGE_NOTE = f"{EDGE_MARK} At the edge of what was tried: the best may lie beyond."
"""What a caption says of it."""

OTHER_LOAD = "Time also depends on what else a machine did, other workers of the study included."
"""What has to be said wherever variants are told apart by time."""

FINISHED = (Outcome.COMPLETED, Outcome.DIVERGED, Outcome.PRUNED)
"""Outcomes that are a result; a failed run has to be run again."""

UNFINISHED = (Outcome.FAILED, Outcome.MISSING)
"""Outcomes of runs that have yet to be run, or run again."""

SCOPE = "under this protocol at this scale"
"""Said with every verdict that there is a difference."""

UNEVEN = 0.05
"""Relative difference between the steps of one variant's runs that is worth a word."""


def level_label(key: str, value: object) -> str:
    """A level on its own: "LayerNorm", "warmup steps 100", "qk norm on"."""
    if key in VOCABULARIES:
        return label_of(key, value)
    shown = label_of(key, value) if isinstance(value, str) else plain_value(value)
    return f"{factor_label(key)} {shown}"


def settings_text(settings: Mapping[str, object]) -> str:
    """Values of nuisance keys: "learning rate 0.003, warmup steps 100"."""
    return ", ".join(f"{factor_label(key)} {plain_value(v)}" for key, v in settings.items())


def plain_value(value: object) -> str:
    """A value of a configuration key on its own: "0.003", "on"."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def tried_text(values: Range | Sequence[object]) -> str:
    """What a search tries of a key: "0.001 to 0.1 (log)", or its values."""
    if isinstance(values, Range):
        return f"{values.low:g} to {values.high:g} ({values.scale})"
    return ", ".join(map(plain_value, values))


def leaf(key: str) -> str:
    """Last part of a dotted configuration key."""
    return key.rpartition(".")[2]


def factor_label(key: str) -> str:
    """A factor as a heading: "norm", "warmup steps"."""
    return leaf(key).replace("_", " ")


def tap_label(tap: str) -> str:
    """A tap for a reader: "residual stream"; one that is not known by its name."""
    return TAPS[tap].label if tap in TAPS else tap.replace("_", " ")


def listed(names: Sequence[str], most: int = 6) -> list[str]:
    """The first names, and how many more there are."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return [*names[:most], *more]


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 run", "5 runs"."""
    return f"{count} {noun}{'s' * (count != 1)}"


def any_of(names: Sequence[str], word: str) -> str:
    """Names in a sentence: "a, b or c"."""
    *first, last = names or ("",)
    return f"{', '.join(first)} {word} {last}" if first else last


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """A number with fixed decimals and a true minus sign; NaN is the absent mark."""
    if not math.isfinite(value):
        return ABSENT
    text = f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


LEAST_P = 0.001
"""A smaller p is written as below it."""


def p_text(p: float) -> str:
    """A p as it is shown: "0.034", "<0.001", and on which side of 0.05; NaN is the absent mark."""
    if p < LEAST_P:
        return f"<{LEAST_P}"
    return number(p, 4 if f"{p:.3f}" == "0.050" else 3)


def percent(share: float) -> str:
    """A share in full: "95%", "99.5%"; a level of confidence is never rounded to 100%."""
    return f"{100 * share:.10g}%"


def time_text(hours: float) -> str:
    """A time in the unit that suits its size: "4.07 s", "12.5 min", "3.2 h"."""
    seconds = 3600 * hours
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if hours < 1 else f"{hours:.4g} h"


def grouped(value: float) -> str:
    """A count with thin spaces between thousands: 1 234 567."""
    return f"{value:,.0f}".replace(",", "\u202f") if math.isfinite(value) else ABSENT


def decimals_for(spread: float, *, fallback: int = 3) -> int:
    """Decimals that show the second significant digit of a spread, within 2 to 5."""
    if not math.isfinite(spread) or spread <= 0:
        return fallback
    return min(5, max(2, 1 - math.floor(math.log10(spread))))


def decimals_of(spreads: Iterable[float]) -> int:
    """Decimals for the numbers of a column, by the middle one of their spreads that are known."""
    known = [spread for spread in spreads if math.isfinite(spread)]
    return decimals_for(float(np.median(known)) if known else math.nan)


def spread_column(spreads: Iterable[float], decimals: int) -> str:
    """Siunitx column of numbers with their spreads in brackets, wide enough for the largest."""
    largest = max((spread for spread in spreads if math.isfinite(spread)), default=0.0)
    digits = len(str(round(largest * 10**decimals)))
    return f"S[table-format=1.{decimals}({digits})]"


def outcome_text(counts: Mapping[Outcome, int]) -> str:
    """Survival of a variant: "5/5", or "3/5, 2 diverged"."""
    total = sum(counts.values())
    others = [
        f"{n} {outcome.value}"
        for outcome, n in counts.items()
        if n and outcome is not Outcome.COMPLETED
    ]
    return ", ".join([f"{counts.get(Outcome.COMPLETED, 0)}/{total}", *others])


SEARCHING = "the search has not ended and may ask for more"
"""Behind a count of runs that is not final."""


def progress_text(counts: Mapping[Outcome, int], *, searching: bool = False) -> str:
    """How far a study is: "41 of 56 runs finished; 3 failed, 12 missing".

    Args:
        counts: of all planned runs.
        searching: whether a search may add to them.
    """
    finished = sum(counts.get(outcome, 0) for outcome in FINISHED)
    total = sum(counts.values())
    open_ = [f"{counts[o]} {o.value}" for o in UNFINISHED if counts.get(o, 0)]
    text = f"{finished} of {total} runs finished" + (f"; {', '.join(open_)}" if open_ else "")
    return f"{text}; {SEARCHING}" if searching else text


def counts_caption(counts: Mapping[Outcome, int], *, searching: bool = False) -> str:
    """The sentence on survival that ends every caption; `searching` as of `progress_text`."""
    planned = f"{sum(counts.values())} planned{' so far' if searching else ''}"
    text = ", ".join([planned, *(f"{n} {o.value}" for o, n in counts.items() if n)])
    return f"Runs: {text}; {SEARCHING}." if searching else f"Runs: {text}."


def uneven_text(share: float) -> str:
    """What a difference between the steps of one variant's runs means, where it is worth a word."""
    if share <= UNEVEN:
        return ""
    return (
        f"Runs of one variant differ in their steps by up to {share:.0%}: the machine was not "
        "alike for all, and differences between variants may come of that."
    )


def headed(text: str) -> str:
    """A text that begins with a capital."""
    return text[:1].upper() + text[1:]


def with_unit(metric: Metric) -> str:
    """What a metric is called on an axis: "final loss (nats/token)"."""
    return f"{metric.label} ({metric.unit})" if metric.unit else metric.label


_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")


def si_text(value: float) -> str:
    """A large count in three digits with its SI prefix: "1.64 M"; NaN is the absent mark."""
    if not math.isfinite(value):
        return ABSENT
    power = 0
    while abs(value) >= 999.5 and power < len(_PREFIXES) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.3g} {_PREFIXES[power]}".strip()
