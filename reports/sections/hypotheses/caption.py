"""The caption of the table of hypotheses: what its numbers are, and by which tests."""

from __future__ import annotations

from reports.analysis.hypotheses import HypothesisResults
from reports.analysis.power import POWER
from reports.analysis.verdicts import Finding
from reports.sections.hypotheses.words import is_declared_alike, names_detectable, standing
from reports.words import counts_caption, percent
from studies.registration import HYPOTHESES


def paper_caption(data: HypothesisResults) -> str:
    """What the columns of a paper are; in a word, how all hypotheses were declared."""
    return caption(data, f"{_all_declared(data)}. " if is_declared_alike(data) else "")


def _all_declared(data: HypothesisResults) -> str:
    text = standing(data.rows[0], data)
    return f"All are {text}" if len(data.rows) > 1 else text.capitalize()


def caption(data: HypothesisResults, declared: str = "") -> str:
    """What the columns are.

    Args:
        data: the hypotheses.
        declared: a sentence on how, in place of the column.
    """
    level, narrower = percent(data.confidence), percent(2 * data.confidence - 1)
    parts = [
        f"Hypotheses. {declared}Difference: mean final loss in nats/token over the first cells "
        "minus that over the second, paired by seed over the n seeds that completed in all of "
        f"them, with its {level} t interval."
    ]
    if any(row.hypothesis.direction == "equivalent" for row in data.rows):
        parts.append(
            f"For an equivalence it is the {narrower} interval, which its test goes by before Holm."
        )
    parts.append(
        "p: of a paired t test, one-sided for lower and higher, two-sided for different, the "
        "larger of two one-sided ones for equivalent. A difference is detected where, in addition, "
        f"its {level} interval excludes 0{_one_sided(data)}."
    )
    if any(row.standing.is_confirmatory for row in data.rows) and data.registration:
        family = len(data.registration.parts[HYPOTHESES])
        registered = "1 registered hypothesis" if family == 1 else f"{family} registered hypotheses"
        parts.append(f"Holm: p adjusted over the {registered}; one without a p counts as 1.")
    if any(row.finding is Finding.BEYOND_MARGIN for row in data.rows):
        parts.append(
            "Better, worse: in addition a paired t test against the margin, adjusted by Holm the "
            f"same way, has p of at most {1 - data.confidence:.2g}, and the exact {level} interval "
            "of the share of seeds with the lower loss lies beyond one half."
        )
    parts += _detectable(data)
    return " ".join([*parts, counts_caption(data.outcomes, searching=data.searching)])


def _one_sided(data: HypothesisResults) -> str:
    """What the interval asks of a one-sided p."""
    if not any(row.hypothesis.direction in ("lower", "higher") for row in data.rows):
        return ""
    return f", so that a one-sided p has to be below {(1 - data.confidence) / 2:.3g}"


def _detectable(data: HypothesisResults) -> list[str]:
    """What the smallest detectable difference is, where a verdict names one."""
    shown = [row for row in data.rows if names_detectable(row)]
    if not shown:
        return []
    text = (
        "Smallest detectable: the true difference that would be detected with "
        f"{percent(POWER)} power, if differences spread as they do here"
    )
    confirmatory = {row.standing.is_confirmatory for row in shown}
    if True in confirmatory:
        text += ", in Holm's first step"
    if len(confirmatory) > 1:
        text += " (of exploratory ones without Holm)"
    return [f"{text}."]
