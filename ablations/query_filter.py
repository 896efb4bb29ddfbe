"""What `ablate query` reads: names of params, metrics and tags, and filters made of them.

The grammar of a filter is MLflow's, with some things added. Quotes that MLflow asks for may be left
out, and a param may be called by its key in the study file. A param or tag may be compared with a
number, though MLflow keeps both as text, and looked for in a list, in place of the `or` that the
grammar lacks: these two are judged here.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Value = str | float
"""Of a metric, a number; of anything else, text."""

SECTIONS = ("model", "data", "training", "diagnostics")
"""Sections of a study file whose keys are params."""

_SPELLINGS = {
    "params": ("param", "params", "parameter", "parameters", *SECTIONS),
    "metrics": ("metric", "metrics"),
    "tags": ("tag", "tags"),
    "attributes": ("attribute", "attributes", "attr", "run"),
    "datasets": ("dataset", "datasets"),
}
_KINDS = {spelling: kind for kind, spellings in _SPELLINGS.items() for spelling in spellings}

_ORDERINGS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_KEY = r"""(?:(?P<kind>\w+)\s*\.\s*)?(?P<name>"[^"]+"|'[^']+'|`[^`]+`|[^\s<>=!"'`(),]+)"""
_KEY_ALONE = re.compile(_KEY)
_COMPARISON = re.compile(
    rf"""\s*{_KEY}\s*
    (?:(?P<unary>IS\s+NULL|IS\s+NOT\s+NULL)
      |(?P<binary>[<>=!]+|I?LIKE\b)\s*(?P<value>"[^"]*"|'[^']*'|[^\s<>=!"'`()]+)
      |(?P<among>IN|NOT\s+IN)\s*\((?P<list>[^()]*)\))
    \s*(?P<end>\bAND\b|$)""",
    re.IGNORECASE | re.VERBOSE,
)
_MEMBER = re.compile(r"""\"[^"]*"|'[^']*'|[^\s,]+""")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


class Key(NamedTuple):
    """Name of something that the store keeps of a run."""

    kind: str
    """`params`, `metrics`, `tags`, `attributes` or `datasets`."""
    name: str

    def __str__(self) -> str:
        """As it is written in filters and heads columns of CSV, without quotes."""
        return f"{self.kind}.{self.name}"


@dataclass(frozen=True)
class Comparison:
    """One comparison of a filter."""

    key: Key
    operator: str
    """In capitals."""
    operands: tuple[str, ...]
    """As they were typed, with their quotes: one, those of a list, or none after `IS NULL`."""

    @property
    def is_list(self) -> bool:
        """Whether a value is looked for in a list."""
        return self.operator in ("IN", "NOT IN")

    @property
    def is_ours(self) -> bool:
        """Whether it compares text of the store with a number or a list, as MLflow does not."""
        if self.key.kind not in ("params", "tags"):
            return False
        return self.is_list or (
            self.operator in _ORDERINGS and as_number(self.operands[0]) is not None
        )

    def holds(self, value: Value | None) -> bool:
        """Whether a value meets it; a run that lacks the value meets nothing, as in MLflow."""
        if value is None:
            return False
        if self.is_list:
            found = any(_compares(value, "=", member) for member in self.operands)
            return found == (self.operator == "IN")
        return _compares(value, self.operator, self.operands[0])

    def for_mlflow(self) -> str:
        """In MLflow's grammar, with all quotes."""
        operands = [self._with_quotes(operand) for operand in self.operands]
        right = f"({', '.join(operands)})" if self.is_list else " ".join(operands)
        return f'{self.key.kind}."{self.key.name}" {self.operator} {right}'.rstrip()

    def _with_quotes(self, operand: str) -> str:
        number = as_number(operand)
        if number is not None and not self.is_list:
            return repr(number).replace("+", "")  # MLflow knows no plus sign
        quoted = operand.startswith(('"', "'")) or self.key.kind == "metrics"
        return operand if quoted else f"'{operand}'"


@dataclass(frozen=True)
class Filter:
    """A filter as it was typed, and what was made of it."""

    text: str
    comparisons: tuple[Comparison, ...]
    """None of a filter that is not understood here, which is left to MLflow as it is."""

    @property
    def keys(self) -> list[Key]:
        """What it compares."""
        return list(dict.fromkeys(comparison.key for comparison in self.comparisons))

    @property
    def ours(self) -> list[Comparison]:
        """Comparisons that are judged here."""
        return [comparison for comparison in self.comparisons if comparison.is_ours]

    def for_mlflow(self, *clauses: str) -> str:
        """What MLflow is asked: clauses of ours, and its share of the filter."""
        theirs = [c.for_mlflow() for c in self.comparisons if not c.is_ours]
        if not self.comparisons and self.text:
            theirs = [self.text]
        return " and ".join([*clauses, *theirs])


EVERYTHING = Filter("", ())
"""A filter that every run meets."""


def parse_filter(text: str) -> Filter:
    """Comparisons joined by `and`; none where the text is anything else."""
    found: list[Comparison] = []
    position, joined = 0, False
    while position < len(text) or joined:
        match = _COMPARISON.match(text, position)
        key = match and _key(match)
        if match is None or key is None:
            return Filter(text.strip(), ())
        words = match["unary"] or match["binary"] or match["among"]
        operator = "=" if words == "==" else " ".join(words.upper().split())
        value = [match["value"]] if match["binary"] else _MEMBER.findall(match["list"] or "")
        found.append(Comparison(key, operator, tuple(value)))
        position, joined = match.end(), bool(match["end"])
    return Filter(text.strip(), tuple(found))


def parse_key(text: str) -> Key | None:
    """A name with its kind, such as `metrics."val/loss"`; None for a name alone."""
    match = _KEY_ALONE.fullmatch(text.strip())
    return _key(match) if match and match["kind"] else None


def _key(match: re.Match[str]) -> Key | None:
    kind = _KINDS.get(match["kind"] or "attribute")
    return Key(kind, unquoted(match["name"])) if kind else None


def as_number(text: str) -> float | None:
    """The number that a text spells; None for any other text, with quotes for one."""
    return float(text) if _NUMBER.fullmatch(text) else None


def unquoted(text: str) -> str:
    """A text without the quotes around it."""
    return text[1:-1] if text.startswith(('"', "'", "`")) else text


def _compares(value: Value, operator: str, operand: str) -> bool:
    """As numbers where the operand is one, else as text."""
    number = as_number(operand)
    if number is None:
        same = value == unquoted(operand)
        return same if operator == "=" else operator == "!=" and not same
    known = value if isinstance(value, float) else as_number(value)
    return known is not None and _ORDERINGS[operator](known, number)
