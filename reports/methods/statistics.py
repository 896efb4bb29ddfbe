"""The sentences on methods that tell by what variants are judged."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from reports.analysis.pairing import collect_pairing
from reports.methods.values import shared
from reports.references import cited
from reports.results.frame import StudyResults
from reports.words import FINISHED, any_of, grouped, percent, progress_text
from studies.methods import STATISTICS

INTERVALS = ("paired-t", "clopper-pearson")
"""Methods that give intervals, which have a level."""

MAIN = (*INTERVALS, "holm", "tost", "p-win")
"""Methods behind the columns of the main table in a paper, and behind verdicts."""


def comparison_sentence(results: StudyResults, statistics: Collection[str]) -> str:
    """The outcome, the seeds, and the methods that no paper can leave out."""
    seeds = len(results.plan.study.seeds)
    outcomes = results.outcomes()
    on = f"{seeds} {_paired(results)}" if seeds > 1 else "one seed, which gives no interval"
    evaluation = shared(results, "data.evaluation_tokens")
    size = f" of {grouped(evaluation)} held-out tokens" if isinstance(evaluation, int) else ""
    sentence = (
        f"The outcome is the validation loss at the last step on {_evaluated(results)}{size}, "
        f"without selection of checkpoints, on {on}"
    )
    if names := _named(results, set(statistics).intersection(MAIN)):
        sentence += f"; it is reported with {any_of(names, 'and')}"
    done = sum(outcomes[o] for o in FINISHED) == len(results.plan.runs)
    if not done or not results.plan.is_settled:
        text = progress_text(outcomes, searching=not results.plan.is_settled)
        sentence += f" (partial: {text})"
    return sentence + "."


def _evaluated(results: StudyResults) -> str:
    several = len(results.evaluation_sets(results.variants)) > 1
    return (
        "evaluation sets that differ between variants, each"
        if several
        else ("a fixed evaluation set")
    )


def _paired(results: StudyResults) -> str:
    """What variants have in common at a seed, as far as the digests of the runs tell."""
    batches = [seed.training.same for seed in collect_pairing(results.compared).seeds]
    return "paired seeds" if batches and all(batches) else "seeds, the same for all variants"


def further_statistics(results: StudyResults, statistics: Iterable[str]) -> tuple[str, ...]:
    """The methods behind other columns, tables and figures; without any, no sentence."""
    names = _named(results, set(statistics).difference(MAIN))
    return (f"Further results are reported with {any_of(names, 'and')}.",) if names else ()


def _named(results: StudyResults, statistics: Collection[str]) -> list[str]:
    level = percent(results.plan.study.report.confidence)
    return [
        cited(row, f"{row.label} ({level})" if name in INTERVALS else row.label)
        for name, row in STATISTICS.items()
        if name in statistics
    ]
