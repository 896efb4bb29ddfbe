"""Where the runs of a plan stand, those included that wait for other runs."""

from __future__ import annotations

from dataclasses import replace

from ablations.ledger import Ledger
from ablations.run_status import RunState, RunStatus
from studies.plan import Plan


def statuses_in(ledger: Ledger | None, plan: Plan) -> dict[str, RunStatus]:
    """The status of each run of a plan by a queue, if there is one yet.

    A run whose parent ended otherwise than completed is skipped: it has nothing to go on from.
    """
    keys = [run.run_key for run in plan.all_runs]
    if ledger is None:
        return dict.fromkeys(keys, RunStatus(RunState.UNQUEUED))
    statuses = ledger.statuses(keys, pruners=plan.pruners)
    for run in plan.finetuning_runs:
        if run.parent is None or statuses[run.run_key].state is not RunState.UNQUEUED:
            continue
        parent = statuses[run.parent]
        if parent.state.is_ended() and parent.state is not RunState.COMPLETED:
            statuses[run.run_key] = replace(statuses[run.run_key], state=RunState.SKIPPED)
    return statuses


def ready_keys(ledger: Ledger, plan: Plan) -> list[str]:
    """Keys of the runs that can be started, or were: those whose parent has completed."""
    if not plan.finetuning_runs:
        return [run.run_key for run in plan.runs]
    statuses = statuses_in(ledger, plan)
    return [
        run.run_key
        for run in plan.all_runs
        if run.parent is None or statuses[run.parent].state is RunState.COMPLETED
    ]
