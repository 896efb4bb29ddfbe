"""The verdict on a variant against the baseline: its numbers pick the words, nothing else does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from reports.analysis.against_baseline import BaselineTest, Reading
from reports.analysis.power import POWER
from reports.words import SCOPE, number, p_text

_VERDICTS = {
    Reading.UNRANKED: "no verdict",
    Reading.DIFFERENT_TEXTS: "no verdict",
    Reading.LEAKY: "no verdict",
    Reading.SEARCHING: "no verdict yet",
    Reading.NO_PAIR: "no verdict yet",
    Reading.TOO_FEW: "no verdict yet",
    Reading.ONE_RUN: "in one run",
    Reading.NO_DIFFERENCE: "no difference detected",
    Reading.NOT_SIGNIFICANT: "no difference detected",
    Reading.AT_EDGE: "no verdict",
    Reading.EQUIVALENT: "equivalent within",
    Reading.LOWER: "lower final loss",
    Reading.HIGHER: "higher final loss",
    Reading.BETTER: "better",
    Reading.WORSE: "worse",
}


class Verdict(NamedTuple):
    """A verdict, and what it rests on."""

    text: str
    detail: str

    @property
    def sentence(self) -> str:
        """Both in one line."""
        return f"{self.text} ({self.detail})" if self.detail else self.text


def verdict_of(test: BaselineTest, decimals: int) -> Verdict:
    """What a comparison with the baseline allows to say."""
    text = _VERDICTS[test.reading]
    if test.reading is Reading.ONE_RUN:
        text = f"{text} {number(test.difference.mean, decimals, sign=True)}"
    if test.reading is Reading.EQUIVALENT:
        text = f"{text} ±{number(test.margin, decimals)}"
    return Verdict(text, _detail(test, decimals))


def _detail(test: BaselineTest, decimals: int) -> str:
    details = {
        Reading.UNRANKED: "one of the two is not ranked",
        Reading.DIFFERENT_TEXTS: "other evaluation data",
        Reading.LEAKY: "an evaluation leaks",
        Reading.SEARCHING: "the search goes on",
        Reading.NO_PAIR: "no seed has both runs",
        Reading.TOO_FEW: f"{test.difference.n} of {test.seeds} seeds",
        Reading.ONE_RUN: "no interval",
        Reading.NO_DIFFERENCE: _smallest(test),
        Reading.NOT_SIGNIFICANT: f"after correction, p {_is(test.adjusted_p)}",
        Reading.AT_EDGE: "a search ended at its edge",
        Reading.EQUIVALENT: f"two one-sided tests, p {_is(test.adjusted_equivalence_p)}",
    }
    if test.reading in (Reading.BETTER, Reading.WORSE):
        return f"beyond ±{number(test.margin, decimals)}, {SCOPE}"
    within = f", but within ±{number(test.margin, decimals)}" * test.is_within
    return details.get(test.reading, f"{SCOPE}{within}")


def detectable_sentence(where: str, tests: Sequence[BaselineTest], comparisons: int) -> list[str]:
    """What the seeds could have shown; a spread of 0, as of one run twice, tells nothing."""
    known = [t.detectable for t in tests if math.isfinite(t.detectable) and t.detectable]
    if not known:
        return []
    ends = dict.fromkeys(f"{end:.2g}" for end in (min(known), max(known)))
    level = ", first step of Holm's procedure" if comparisons > 1 else ""
    return [
        f"{where}, the smallest detectable difference ({POWER:.0%} power{level}) is "
        f"{' to '.join(ends)} nats/token."
    ]


def _smallest(test: BaselineTest) -> str:
    """What the seeds could have shown; a spread of 0, as of one run twice, tells nothing."""
    known = math.isfinite(test.detectable) and test.detectable > 0
    return f"smallest detectable {test.detectable:.2g}" if known else ""


def _is(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"
