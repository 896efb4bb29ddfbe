"""`ablate run`: check a study, queue it, have it trained, and sum up."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablations.commands import INTERRUPTED, loaded_plan
from ablations.console import plain_console
from ablations.option_values import profile_of, recall, tracking_uri
from ablations.run_directory import StudyDirectory
from ablations.tracking_store import NONE, SERVERS, default_tracking_uri, store_of_workers
from ablations.typed_commands import typed
from studies.fairness import require_fair
from studies.loading import load_study
from studies.plan import Plan, PlannedRun

if TYPE_CHECKING:
    from rich.console import Console

    from ablations.driver import Driver, RunSummary
    from ablations.launchers.registry import Launcher
    from ablations.profiles import Profile

DEFAULT_FLEET = 1
"""Workers that a scheduler places where neither command nor profile says how many."""


def run(options: argparse.Namespace) -> int:
    """Run what is missing of a study; exit status 1 where a run failed, 130 after a stop."""
    from ablations.driver import Driver, RunSettings
    from ablations.launchers.registry import LAUNCHERS, usual_storage
    from ablations.pilot import pilot_settings

    if options.pilot:
        study = load_study(options.study, options.set).study.name
        options.set = [*pilot_settings(study, options.pilot), *options.set]
    loaded, plan = loaded_plan(options)
    if options.pilot:
        plan = plan.without_finetuning()
    require_fair(plan)
    console = plain_console()
    if recalled := recall(options, StudyDirectory(options.home, plan.study.name)):
        console.print(f"as before: {recalled}", soft_wrap=True)
    profile = profile_of(options)
    name = options.launcher or profile.launcher
    launcher = LAUNCHERS[name]
    workers = options.workers or profile.workers
    if not _agreed(console, plan, options, workers, here=launcher.run is not None):
        return INTERRUPTED
    uri = tracking_uri(options)
    settings = RunSettings(
        options.home.resolve(),
        uri,
        workers,
        options.retry_failed,
        options.storage,
        usual_storage(name, profile),
    )
    driver = Driver(plan, settings)
    _prepare(console, driver, loaded.path.read_text(encoding="utf-8"))
    if name != "debug":
        _remember(options, driver.directory, uri)
    if not driver.is_done():
        _say_if_refused(console, options, uri)
    if launcher.run is None:
        return _place(console, options, driver, name, profile, workers or DEFAULT_FLEET)
    summary = _train(console, driver, launcher, live=name != "debug")
    with console.status("sending what the tracking store lacks"):
        sync_or_say(console, options, driver.plan, driver.directory)
    return _sum_up(console, options, driver.plan.all_runs, summary)


def _agreed(
    console: Console, plan: Plan, options: argparse.Namespace, workers: int | None, *, here: bool
) -> bool:
    """Whether the user agrees to the cost; what it is on other machines cannot be measured here."""
    from ablations.search import with_stored_search
    from ablations.spending import Terms, agree

    if not here:
        return True
    home = options.home.resolve()
    plan = with_stored_search(plan, StudyDirectory(home, plan.study.name))
    terms = Terms(workers, options.retry_failed, options.budget_hours, options.yes)
    return agree(console, plan, home, terms)


def _prepare(console: Console, driver: Driver, study_text: str) -> None:
    """Check what is still to run, and make the plan the study's.

    Raises:
        AblationError: a variant cannot be trained as it is.
    """
    from ablations.display import show_remarks, show_tasks, size_line
    from ablations.registering import register_once
    from ablations.search import store_plan, with_stored_search

    directory = driver.directory
    driver.plan = with_stored_search(driver.plan, directory)
    console.print(f"{driver.plan.study.name}: {size_line(driver.plan)}, in {directory.path}")
    show_remarks(console, driver.plan)
    if driver.unfinished_plan().cells:
        with console.status("pre-flight") as status:
            found = driver.check(status.update)
        show_tasks(console, found)
    elif driver.is_done():
        console.print("nothing to run: every run has ended")
    driver.plan = store_plan(driver.plan, study_text, directory)
    if told := register_once(driver.plan, directory):
        console.print(told, soft_wrap=True)


def _remember(options: argparse.Namespace, directory: StudyDirectory, uri: str) -> None:
    """Have the study's folder know where it runs and where it is tracked."""
    from ablations.profiles import asked_profile
    from ablations.run_with import RunWith, save_run_with

    run_with = RunWith(
        launcher=options.launcher,
        profile=asked_profile(options.profile),
        tracking_uri=None if uri in (default_tracking_uri(options.home), NONE) else uri,
    )
    save_run_with(directory, run_with)


def _say_if_refused(console: Console, options: argparse.Namespace, uri: str) -> None:
    """What a tracking server would refuse for hours; training can do without it."""
    if not uri.startswith(SERVERS):
        return
    from ablations.doctor.findings import Mark
    from ablations.doctor.tracking import server

    with console.status("asking the tracking server"):
        problems = [finding for finding in server(uri) if finding.mark is Mark.PROBLEM]
    for finding in problems:
        console.print(f"tracking: {finding.subject} {finding.found}", soft_wrap=True)
        console.print(finding.remedy, soft_wrap=True)
    if problems:
        told = f"the study runs meanwhile, and `{typed('sync', options)}` sends what it measured"
        console.print(told, soft_wrap=True)


def _train(console: Console, driver: Driver, launcher: Launcher, *, live: bool) -> RunSummary:
    from ablations.display import progress_display

    assert launcher.run is not None
    with progress_display(console, live=live) as show:
        return launcher.run(driver, show)


def _place(
    console: Console,
    options: argparse.Namespace,
    driver: Driver,
    launcher: str,
    profile: Profile,
    workers: int,
) -> int:
    """Queue what is missing and have workers placed, which go on by themselves."""
    from ablations.fleets import place_fleet
    from ablations.launchers.fleet import FleetFile
    from ablations.profiles import asked_profile

    progress = driver.queue()
    console.print(progress.line())
    if progress.is_over:
        with console.status("sending what the tracking store lacks"):
            sync_or_say(console, options, driver.plan, driver.directory)
        return _sum_up(console, options, driver.plan.all_runs, driver.summary())
    execution = driver.plan.study.execution
    file = FleetFile(
        launcher=launcher,
        profile=asked_profile(options.profile),
        tracking_uri=store_of_workers(tracking_uri(options)),
        storage=options.storage,
        workers=workers,
        runs_per_worker=max(1, profile.slurm.gpus_per_worker // execution.devices),
    )
    placed = place_fleet(file, profile, driver.directory, driver.ledger, progress)
    names = f"placed {len(placed)}: {', '.join(placed)}" if placed else "enough workers are placed"
    console.print(f"workers through {launcher}: {names}", soft_wrap=True)
    if file.tracking_uri == NONE:
        console.print(
            "their metrics wait in the study's folder, since machines cannot share a SQLite store: "
            f"`{typed('sync', options)}` sends them, and who watches does in the end",
            soft_wrap=True,
        )
    watching, cancelling = (typed(name, options) for name in ("status", "cancel"))
    told = f"follow them with `{watching} --watch`, stop them with `{cancelling}`"
    console.print(told, soft_wrap=True)
    return 0


def sync_or_say(
    console: Console, options: argparse.Namespace, plan: Plan, directory: StudyDirectory
) -> None:
    """Bring the tracking store up to date; a store that is away costs nothing but a line."""
    from ablations.publishing import sync_study
    from ablations.tracking import Tracking
    from ablations.tracking_errors import reason

    try:
        sync_study(Tracking(tracking_uri(options)), plan, directory)
    except Exception as error:
        console.print(f"nothing reaches the tracking store: {reason(error)}")
        told = f"nothing is lost: `{typed('sync', options)}` sends it later"
        console.print(told, soft_wrap=True)


def _sum_up(
    console: Console, options: argparse.Namespace, runs: Sequence[PlannedRun], summary: RunSummary
) -> int:
    from ablations.run_status import RunState

    console.print(summary.progress.line())
    failed = [r for r in runs if summary.statuses[r.run_key].state is RunState.FAILED]
    for run in failed[:10]:
        error = summary.statuses[run.run_key].error
        console.print(f"failed: {run.variant} seed {run.seed}: {error}")
    if failed:
        again = f"{typed('run', options)} --retry-failed"
        console.print(f"`{again}` tries the {len(failed)} failed runs again", soft_wrap=True)
    if summary.interrupted:
        told = f"stopped; `{typed('run', options)}` goes on from the last checkpoints"
        console.print(told, soft_wrap=True)
        return INTERRUPTED
    told = f"report: {typed('report', options)}   MLflow UI: {typed('ui', options)}"
    console.print(told, soft_wrap=True)
    return 1 if failed else 0
