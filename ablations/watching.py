"""Following a study from anywhere, keeping its workers placed meanwhile, and stopping them."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ablations.commands import INTERRUPTED
from ablations.console import plain_console
from ablations.display import progress_display, show_status
from ablations.fleets import known_fleet
from ablations.keeper import StudyKeeper
from ablations.launchers.fleet import Fleet, top_up
from ablations.ledger import Ledger
from ablations.ledger_location import ledger_of
from ablations.plan_statuses import statuses_in
from ablations.progress import Progress, measure
from ablations.run_directory import StudyDirectory
from ablations.run_status import FailedAttempt, RunState
from ablations.storages.patience import outliving
from studies.errors import AblationError

log = logging.getLogger(__name__)

WATCH_S = 1.0
KEEP_S = 10.0
"""Between looks at whether workers have died, or are missing: short beside the grace time."""
GIVING_BACK_S = 120.0
"""How long `ablate cancel` waits for workers to save what they have."""


CANCELLED = "cancelled: `ablate run` goes on with it"


def show_progress(directory: StudyDirectory, storage: str | None) -> None:
    """Show where a study stands, and who works on it."""
    plan, console = directory.load_plan(), plain_console()
    ledger = ledger_of(directory, storage)
    show_status(console, plan, measure(plan, statuses_in(ledger, plan)))
    if ledger is None:
        return
    if line := _failures_line(ledger.failed_attempts(run.run_key for run in plan.all_runs)):
        console.print(line, soft_wrap=True)
    if ledger.is_cancelled():
        console.print(CANCELLED)
    fleet = _fleet_or_none(directory, ledger)
    if fleet is not None:
        console.print(_fleet_line(fleet), soft_wrap=True)


def watch(directory: StudyDirectory, storage: str | None, publish: Callable[[], None]) -> int:
    """Follow a study until it ends or all have stopped, and move it on meanwhile.

    Workers that died are given up, and those that its fleet lacks are placed. Who may only read
    its folder follows it all the same.

    Args:
        directory: of the study.
        storage: where its queue is, if not as the folder says.
        publish: sends what the tracking store lacks; called in the end where there is a fleet.

    Returns:
        An exit status: 0 done, 1 where runs failed, 130 where all have stopped before that.
    """
    console = plain_console()
    ledger = ledger_of(directory, storage)
    if ledger is None:
        show_progress(directory, storage)
        return 0
    keeper = StudyKeeper(directory, ledger, directory.load_plan())
    fleet, kept_at = _fleet_or_none(directory, ledger), -KEEP_S
    may_write = os.access(directory.path, os.W_OK)
    with progress_display(console) as show:
        while (progress := _progress_or_none(keeper)) is None or not progress.is_over:
            if progress is not None:
                show(progress)
                if _has_stopped(ledger, progress):
                    break
                if may_write and time.monotonic() - kept_at > KEEP_S:
                    with outliving("nobody is given up or placed for now"):
                        keeper.keep()
                        if fleet is not None:
                            _top_up_or_say(fleet, directory, ledger, progress)
                    kept_at = time.monotonic()
            time.sleep(WATCH_S)
        show(progress)
    if fleet is not None:
        keeper.repair()
        publish()
    if not progress.is_over:
        console.print(CANCELLED)
        return INTERRUPTED
    return 1 if progress.counts.get(RunState.FAILED) else 0


def cancel(directory: StudyDirectory, storage: str | None) -> int:
    """Have all workers of a study save what they train, give it back and end.

    Raises:
        AblationError: it has no queue.
    """
    console = plain_console()
    ledger = ledger_of(directory, storage)
    if ledger is None:
        raise AblationError(f"study {directory.study!r} has no queue yet: there is nothing to stop")
    keeper = StudyKeeper(directory, ledger, directory.load_plan())
    if keeper.progress().is_over:
        console.print("every run has ended: there is nothing to stop")
        return 0
    ledger.cancel()
    fleet = _fleet_or_none(directory, ledger)
    if fleet is not None:
        fleet.withdraw(running=False)
    deadline, running = time.monotonic() + GIVING_BACK_S, 0
    with console.status("workers save what they have"):
        while time.monotonic() < deadline:
            running = _running(keeper.progress())
            if not running and not (fleet and fleet.placed()):
                break
            time.sleep(WATCH_S)
            keeper.keep()  # gives up those that are dead already
    if fleet is not None:
        fleet.withdraw(running=True)
    console.print(keeper.progress().line())
    if running:
        console.print(f"{running} attempts did not answer; they are given up once they are silent")
    console.print("cancelled; the same `ablate run` as before goes on from the last checkpoints")
    return 0


def _progress_or_none(keeper: StudyKeeper) -> Progress | None:
    """Where the study stands; None while its storage is away, which workers bear longer than we."""
    with outliving("it is asked again"):
        keeper.take_plan()
        return keeper.progress()
    return None


def _has_stopped(ledger: Ledger, progress: Progress) -> bool:
    """Whether all were asked to end, and did."""
    with outliving("it is asked again"):
        return not _running(progress) and ledger.is_cancelled()
    return False


def _running(progress: Progress) -> int:
    return progress.counts.get(RunState.RUNNING, 0)


def _fleet_or_none(directory: StudyDirectory, ledger: Ledger) -> Fleet | None:
    """The fleet of a study; on a machine that cannot reach it the study is watched all the same."""
    try:
        return known_fleet(directory, ledger)
    except AblationError as error:
        log.warning("workers are not looked after from here: %s", error)
        return None


def _top_up_or_say(
    fleet: Fleet, directory: StudyDirectory, ledger: Ledger, progress: Progress
) -> None:
    try:
        if names := top_up(fleet, directory, ledger, progress):
            log.warning("workers were missing: placed %s", ", ".join(names))
    except AblationError as error:
        log.warning("no worker was placed: %s", error)


def _failures_line(failed: Mapping[str, Sequence[FailedAttempt]]) -> str:
    """How attempts ended that brought nothing, with the last words of each kind."""
    found = [attempt for attempts in failed.values() for attempt in attempts]
    counts = Counter(attempt.failure for attempt in found)
    last = {attempt.failure: attempt.why for attempt in sorted(found, key=lambda a: a.number)}
    told = (
        f"{count} {kind.value.replace('_', ' ')}" + (f" ({last[kind][:160]})" if last[kind] else "")
        for kind, count in counts.most_common()
    )
    return f"attempts that failed: {'; '.join(told)}" if found else ""


def _fleet_line(fleet: Fleet) -> str:
    try:
        placed = fleet.placed()
    except AblationError as error:
        return f"workers: not known ({error})"
    running = [f"{worker.name} on {worker.node}" for worker in placed if worker.is_running]
    return f"workers: {len(placed) - len(running)} waiting, {len(running)} running" + (
        f": {', '.join(running)}" if running else ""
    )
