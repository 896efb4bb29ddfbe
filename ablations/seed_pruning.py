"""Giving up the seeds that wait of what is worse already: Optuna's Wilcoxon pruner over seeds.

What is given up follows from the records alone, so that anybody may look at any time. A candidate
is a setting of a variant in its search, or a variant in a column of the report.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence

import optuna
from optuna.trial import create_trial

from ablations.claims import Fenced
from ablations.ended_runs import finish, ledger_value, new_record, spent_s
from ablations.ledger import Ledger
from ablations.pruning import build_pruner
from ablations.run_directory import StudyDirectory
from ablations.run_status import RunState
from studies.plan import Plan, PlannedRun
from studies.protocol import Pruning
from studies.pruners import PRUNERS
from studies.records import Outcome
from studies.search import RecordOf
from studies.tried import clipped_loss

log = logging.getLogger(__name__)

Candidate = tuple[PlannedRun, ...]
"""Runs that differ in their seed alone, in the order of the seeds."""


def give_up_seeds(
    plan: Plan, record_of: RecordOf, directory: StudyDirectory, ledger: Ledger
) -> None:
    """End the waiting runs of candidates that are worse already, without training them."""
    pruning = plan.study.protocol.pruning
    if pruning is None or not PRUNERS[pruning.pruner].of_seeds:
        return
    given_up = ledger.statuses(hopeless(plan, pruning, record_of))
    for planned in plan.runs:
        status = given_up.get(planned.run_key)
        if status is not None and status.state is RunState.WAITING:
            _give_up(plan, planned, directory, ledger)


def hopeless(plan: Plan, pruning: Pruning, record_of: RecordOf) -> set[str]:
    """Keys of the runs of candidates that are worse, in every comparison that a run is part of."""
    worse, as_good = set[str](), set[str]()
    for candidates in _comparisons(plan, pruning):
        losses = [_losses(candidate, record_of) for candidate in candidates]
        ended = [len(known) == len(runs) for known, runs in zip(losses, candidates, strict=True)]
        verdicts = _worse(pruning, losses, ended)
        for candidate, is_worse in zip(candidates, verdicts, strict=True):
            (worse if is_worse else as_good).update(run.run_key for run in candidate)
    return worse - as_good


def _comparisons(plan: Plan, pruning: Pruning) -> Iterator[list[Candidate]]:
    """The candidates that are compared with each other."""
    if pruning.stage == "search":
        runs = [run for run in plan.runs if run.stage == "search"]
        for cell in plan.cells:
            of_setting: dict[str, Candidate] = {}
            for run in runs:
                if run.variant == cell.variant:
                    setting = str(run.settings)
                    of_setting[setting] = (*of_setting.get(setting, ()), run)
            yield list(of_setting.values())
    else:
        for column in plan.columns:
            compared = [run for run in plan.runs if column in plan.columns_of(run)]
            yield [tuple(r for r in compared if r.variant == c.variant) for c in plan.cells]


def _losses(candidate: Candidate, record_of: RecordOf) -> dict[int, float]:
    """Place of a seed to the loss of its run, where it was trained to an end."""
    found = {}
    for place, run in enumerate(candidate):
        record = record_of(run.run_key)
        if record is not None and record.outcome in (Outcome.COMPLETED, Outcome.DIVERGED):
            found[place] = clipped_loss(record)
    return found


def _worse(
    pruning: Pruning, losses: Sequence[dict[int, float]], ended: Sequence[bool]
) -> list[bool]:
    """Whether the pruner gives up each candidate, against the best that has ended on all seeds."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(pruner=build_pruner(pruning.pruner, pruning.options))
    for known, has_ended in zip(losses, ended, strict=True):
        if known and has_ended:
            mean = math.fsum(known.values()) / len(known)
            study.add_trial(create_trial(value=mean, intermediate_values=known))
    return [
        bool(known) and not has_ended and _is_given_up(study, known)
        for known, has_ended in zip(losses, ended, strict=True)
    ]


def _is_given_up(study: optuna.Study, losses: dict[int, float]) -> bool:
    trial = study.ask()
    for place, loss in losses.items():
        trial.report(loss, place)
    return trial.should_prune()


def _give_up(plan: Plan, planned: PlannedRun, directory: StudyDirectory, ledger: Ledger) -> None:
    """End a run that waits; one that a worker has taken goes on."""
    claim = ledger.claim([planned.run_key])
    if claim is None:
        return
    run = directory.run(planned.run_key)
    attempt = run.attempt(claim.attempt)
    record = new_record(plan, planned, claim.attempt, Outcome.PRUNED)
    record = record.model_copy(update={"wall_time_s": round(spent_s(run), 3)})
    run.save_spec(plan.spec(planned))
    attempt.start()
    attempt.save_record(record)
    try:
        claim.complete(record.outcome, ledger_value(record.summary), record.pruned_by)
    except Fenced:
        log.warning("run %s was given to another process", planned.run_key)
        return
    finish(run, record)
