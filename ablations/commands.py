"""What each subcommand of `ablate` does; each imports what it needs and no more."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablations.console import plain_console
from ablations.option_values import study_directory, tracking_uri
from ablations.run_directory import StoredPlan, StudyDirectory
from ablations.typed_commands import typed
from studies.fairness import require_fair
from studies.loading import LoadedStudy, load_study, shipped_studies
from studies.plan import Plan, PlannedRun

if TYPE_CHECKING:
    from rich.console import Console

    from ablations.driver import RunSummary

INTERRUPTED = 130
WATCH_S = 1.0


def _loaded_plan(options: argparse.Namespace) -> tuple[LoadedStudy, Plan]:
    from studies.planning import make_plan

    loaded = load_study(options.study, options.set)
    return loaded, make_plan(loaded.study, loaded.overrides)


def list_studies(options: argparse.Namespace) -> int:
    """Shipped studies and those at home, or every configuration key, or every metric."""
    if options.keys:
        from studies.reference import reference

        print(reference(), end="")
    if options.metrics:
        from lightning_modules.diagnostics.reference import metrics_reference

        print(metrics_reference(), end="")
    if options.keys or options.metrics:
        return 0
    from rich.table import Table

    from ablations.listing import studies_at_home

    console = plain_console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("shipped study", no_wrap=True)
    table.add_column("question")
    for name in shipped_studies():
        table.add_row(name, load_study(name).study.question)
    console.print(table)
    for name, line in studies_at_home(options.home):
        console.print(f"{name} in {options.home}: {line}")
    return 0


def plan(options: argparse.Namespace) -> int:
    """Print the plan of a study, what it can show, and what it costs."""
    from ablations.plan_output import print_plan

    print_plan(_loaded_plan(options)[1], options)
    return 0


def check(options: argparse.Namespace) -> int:
    """Pre-flight of a whole study."""
    from ablations.display import show_preflight, show_remarks
    from ablations.preflight import preflight

    _, plan = _loaded_plan(options)
    require_fair(plan)
    console = plain_console()
    with console.status("pre-flight") as status:
        found = preflight(plan, options.home.resolve() / "cache", status.update)
    show_preflight(console, found)
    show_remarks(console, plan)
    found.raise_for_problems()
    console.print(f"pre-flight passed: {len(found.checks)} variants")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run what is missing of a study; exit status 1 where a run failed, 130 after a stop."""
    from ablations.display import progress_display, show_remarks, size_line
    from ablations.driver import Driver, RunSettings
    from ablations.pilot import pilot_settings
    from ablations.registering import register_once
    from ablations.search import store_plan, with_stored_search
    from ablations.spending import Terms, agree

    if options.pilot:
        name = load_study(options.study, options.set).study.name
        options.set = [*pilot_settings(name, options.pilot), *options.set]
    loaded, plan = _loaded_plan(options)
    require_fair(plan)
    console = plain_console()
    home = options.home.resolve()
    plan = with_stored_search(plan, StudyDirectory(home, plan.study.name))
    terms = Terms(options.workers, options.retry_failed, options.budget_hours, options.yes)
    if not agree(console, plan, home, terms):
        return INTERRUPTED
    settings = RunSettings(home, tracking_uri(options), options.workers, options.retry_failed)
    driver = Driver(plan, settings)
    directory = driver.directory
    console.print(f"{plan.study.name}: {size_line(plan)}, in {directory.path}")
    show_remarks(console, plan)
    if driver.unfinished_plan().cells:
        with console.status("pre-flight") as status:
            driver.check(status.update)
    elif driver.is_done():
        console.print("nothing to run: every run has ended")
    driver.plan = store_plan(plan, loaded.path.read_text(encoding="utf-8"), directory)
    if told := register_once(driver.plan, directory):
        console.print(told, soft_wrap=True)
    with progress_display(console) as show:
        summary = driver.run(show)
    with console.status("sending what the tracking store lacks"):
        _sync_or_say(console, options, driver.plan, directory)
    return _sum_up(console, options, driver.plan.runs, summary)


def _sync_or_say(
    console: Console, options: argparse.Namespace, plan: Plan, directory: StudyDirectory
) -> None:
    """Bring the tracking store up to date; a store that is away costs nothing but a line."""
    from ablations.publishing import sync_study
    from ablations.tracking import Tracking

    try:
        sync_study(Tracking(tracking_uri(options)), plan, directory)
    except Exception as error:
        console.print(f"tracking is away: {str(error).splitlines()[0][:200]}")
        console.print(f"nothing is lost: `{typed('sync', options)}` sends it later")


def _sum_up(
    console: Console, options: argparse.Namespace, runs: Sequence[PlannedRun], summary: RunSummary
) -> int:
    from ablations.ledger import RunState

    console.print(summary.progress.line())
    failed = [r for r in runs if summary.statuses[r.run_key].state is RunState.FAILED]
    for run in failed[:10]:
        error = summary.statuses[run.run_key].error
        console.print(f"failed: {run.variant} seed {run.seed}: {error}")
    if failed:
        again = f"{typed('run', options)} --retry-failed"
        console.print(f"`{again}` tries the {len(failed)} failed runs again")
    if summary.interrupted:
        console.print(f"stopped; `{typed('run', options)}` goes on from the last checkpoints")
        return INTERRUPTED
    console.print(f"report: {typed('report', options)}   MLflow UI: {typed('ui', options)}")
    return 1 if failed else 0


def worker(options: argparse.Namespace) -> int:
    """Claim and train until nothing is left."""
    from ablations.worker import Worker, WorkerSettings

    home = options.home.resolve()
    Worker(WorkerSettings(home, options.study, tracking_uri(options), options.parent)).work()
    return 0


def status(options: argparse.Namespace) -> int:
    """How far a study is, once or until its end."""
    from ablations.display import progress_display, show_status
    from ablations.listing import progress_of

    directory = study_directory(options)
    stored, console = StoredPlan(directory), plain_console()
    plan = stored.read()
    if not options.watch:
        show_status(console, plan, progress_of(plan, directory))
        return 0
    with progress_display(console) as show:
        progress = progress_of(plan, directory)
        show(progress)
        while not progress.is_over:
            time.sleep(WATCH_S)
            progress = progress_of(stored.read(), directory)  # a search may have gone on
            show(progress)
    return 0


def show(options: argparse.Namespace) -> int:
    """One run: how it ended, its curves, what the diagnostics saw in its layers."""
    from ablations.run_lookup import find_run
    from ablations.run_view import view_run
    from ablations.selection import Selection
    from ablations.show import show_run

    view = view_run(find_run(options.home, options.run))
    if options.json:
        print(json.dumps(view.as_json()))
    else:
        show_run(plain_console(), view, Selection(options.family, options.tap, options.all))
    return 0


def sync(options: argparse.Namespace) -> int:
    """Send to the tracking store what it lacks."""
    from ablations.publishing import sync_study
    from ablations.tracking import Tracking

    directory = study_directory(options)
    plan, uri = directory.load_plan(), tracking_uri(options)
    sent = sync_study(Tracking(uri), plan, directory)
    print(f"{sent} runs sent to {uri}")
    return 0


def ui(options: argparse.Namespace) -> int:
    """Serve the MLflow UI on a study."""
    from ablations.ui import serve

    return serve(study_directory(options), tracking_uri(options), options.host, options.port)
