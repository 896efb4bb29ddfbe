"""Why a query found nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ablations.numerals import significant
from ablations.query_filter import Comparison, Filter, Key, Value, as_number, unquoted
from ablations.stored_runs import KINDS, StoredRun, distinct, names_of
from studies.errors import close_matches

OF_VARIANTS = ("chosen", "at_edge", "aggregate/", "search/", "ledger/")
"""What names begin with that only the sums over the runs of a variant have."""
LISTED = 8
"""Values of a name that a hint lists."""


def why_nothing(filter: Filter, runs: Sequence[StoredRun], kind: str) -> list[str]:
    """What is wrong with each comparison of a filter that no run meets.

    Args:
        filter: the filter.
        runs: every run that was searched.
        kind: the kind of these runs.
    """
    if not runs:
        others = "" if kind == "all" else ", --kind all searches every kind"
        return [f"there is no run of kind {kind!r}; `ablate sync STUDY` sends what lacks{others}"]
    reasons = [_reason(comparison, runs, kind) for comparison in filter.comparisons]
    told = list(dict.fromkeys(reason for reason in reasons if reason))
    if not told and len(filter.comparisons) > 1:
        return ["every comparison is met by some run, and all of them by none"]
    return told


def _reason(comparison: Comparison, runs: Sequence[StoredRun], kind: str) -> str | None:
    """Why no run meets a comparison; None if one does, or if that is not known here."""
    key, operator = comparison.key, comparison.operator
    if key.kind not in ("params", "metrics", "tags") or operator.startswith("IS "):
        return None
    values = distinct(runs, key)
    if not values:
        return _no_such_name(key, runs, kind)
    if operator.endswith("LIKE") or any(comparison.holds(value) for value in values):
        return None
    return f"no run has {_typed(comparison)}; {_having(values, key)}{_meant(comparison, values)}"


def _meant(comparison: Comparison, values: Sequence[Value]) -> str:
    """What the operand of a comparison may have been meant to be."""
    for operand in comparison.operands:
        text = unquoted(operand)
        if as_number(text) is None:
            hint = close_matches(text, map(str, values))
            if hint:
                return f": {hint}"
        elif text != operand and as_number(text) in [as_number(str(value)) for value in values]:
            return f"; without quotes, {text} is compared as a number"
    return ""


def _typed(comparison: Comparison) -> str:
    operands = ", ".join(comparison.operands)
    right = f"({operands})" if comparison.is_list else operands
    return f"{comparison.key} {comparison.operator} {right}"


def _no_such_name(key: Key, runs: Sequence[StoredRun], kind: str) -> str:
    if kind not in ("variant", "all") and key.name.startswith(OF_VARIANTS):
        return f"no run of kind {kind!r} has {key}: variants have it, add --kind variant"
    elsewhere = [kind for kind in KINDS if key.name in names_of(runs, kind)]
    if elsewhere:
        return f"no run has {key}; it is {' and '.join(f'{k}.{key.name}' for k in elsewhere)}"
    hint = close_matches(key.name, names_of(runs, key.kind))
    return f"no run has {key}{f': {hint}' if hint else ''}"


def _having(values: Sequence[Value], key: Key) -> str:
    """The values that a name has: all of a few, else the first and the last."""
    texts = [significant(v, 4) if isinstance(v, float) else v for v in values]
    if len(texts) > LISTED or key.kind == "metrics":
        return f"{key} is from {texts[0]} to {texts[-1]}"
    return f"{key} is {' or '.join(texts)}"
