"""Which variants may be ranked."""

from __future__ import annotations

from reports.results.frame import StudyResults
from studies.metrics import FINAL_LOSS
from studies.records import Leak, Outcome


def ranked_variants(results: StudyResults) -> tuple[str, ...]:
    """Variants that may be ranked: none where losses are not all on the same data.

    A leaky one never is, nor a mean over survivors, nor what has no result.
    """
    if len(results.evaluation_sets(results.variants)) > 1:
        return ()
    return tuple(variant for variant in results.variants if _is_whole(results, variant))


def _is_whole(results: StudyResults, variant: str) -> bool:
    outcomes = results.outcomes(variant)
    lost = outcomes[Outcome.DIVERGED] + outcomes[Outcome.FAILED] + outcomes[Outcome.PRUNED]
    return (
        results.leaks[variant] is not Leak.LEAKY
        and not lost
        and not results.values(FINAL_LOSS, variant).empty
    )
