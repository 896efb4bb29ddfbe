"""Runs whose weights are still there."""

from __future__ import annotations

from ablations.run_directory import AttemptDirectory, RunDirectory
from ablations.run_lookup import FoundRun
from studies.errors import AblationError
from studies.records import Outcome, RunRecord


def trained_attempt(found: FoundRun) -> AttemptDirectory:
    """The attempt that a run completed with, which kept its weights.

    Raises:
        AblationError: it has none.
    """
    record = _ended(found.directory)
    if found.planned is not None and found.planned.stage == "finetuning":
        raise AblationError(f"run {found.name} fine-tunes, and keeps no weights: name its parent")
    if record is None or record.outcome is not Outcome.COMPLETED:
        ended = "has not ended" if record is None else f"is {record.outcome}"
        raise AblationError(f"run {found.name} {ended}: only a run that completes leaves weights")
    if record.leak is None:
        raise AblationError(
            f"the module of run {found.name} maps no tokens to logits: give it a "
            "`forward(tokens) -> logits`"
        )
    attempt = found.directory.attempt(record.attempt)
    if not attempt.has_weights:
        raise AblationError(
            f"run {found.name} kept no weights: it was a run of a search, or had "
            f"execution.keep_weights = false. Move its folder {found.directory.path} away, and run "
            "the study again with true"
        )
    return attempt


def _ended(run: RunDirectory) -> RunRecord | None:
    """The record of a run; where its worker has not published it yet, that of its attempt."""
    of_attempts = (attempt.record() for attempt in reversed(run.attempts()))
    return run.record() or next(filter(None, of_attempts), None)
