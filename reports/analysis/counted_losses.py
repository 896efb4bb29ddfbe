"""What runs count for where a diverged one counts for the untrained model: min(loss, l0)."""

from __future__ import annotations

import math

from reports.results.frame import StudyResults
from studies.metrics import INITIAL_LOSS
from studies.records import RunRecord
from studies.tried import clipped_loss


def initial_loss(results: StudyResults, variant: str) -> float:
    """l0 of a variant, the mean over all its runs that recorded it; NaN where none has."""
    summaries = [r.summary for r in results.records_of(variant)]
    known = [summary[INITIAL_LOSS] for summary in summaries if INITIAL_LOSS in summary]
    return math.fsum(known) / len(known) if known else math.nan


def counted_loss(record: RunRecord, initial: float) -> float:
    """What a run counts for; one that recorded no loss at initialisation has that of its variant.

    NaN where that is not known either and the run has no loss of its own: the made-up loss that
    lets a search go on is no result.
    """
    summary = {INITIAL_LOSS: initial, **record.summary}
    return clipped_loss(record.model_copy(update={"summary": summary}))  # min(loss, NaN) is loss
