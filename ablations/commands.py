"""What each subcommand of `ablate` does; each imports what it needs and no more."""

from __future__ import annotations

import argparse
import json
import os

from ablations.console import plain_console
from ablations.option_values import study_directory, tracking_uri
from studies.fairness import require_fair
from studies.loading import LoadedStudy, load_study, shipped_studies
from studies.plan import Plan

INTERRUPTED = 130


def loaded_plan(options: argparse.Namespace) -> tuple[LoadedStudy, Plan]:
    """The study that is asked for, and its plan."""
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

    print_plan(loaded_plan(options)[1], options)
    return 0


def check(options: argparse.Namespace) -> int:
    """Pre-flight of a whole study."""
    from ablations.display import show_preflight, show_remarks
    from ablations.preflight import preflight

    _, plan = loaded_plan(options)
    require_fair(plan)
    console = plain_console()
    with console.status("pre-flight") as status:
        found = preflight(plan, options.home.resolve() / "cache", status.update)
    show_preflight(console, found)
    show_remarks(console, plan)
    found.raise_for_problems()
    console.print(f"pre-flight passed: {len(found.checks)} variants")
    return 0


def worker(options: argparse.Namespace) -> int:
    """Claim and train until nothing is left.

    With `--parent` this process trains; without, it keeps processes alive that do.
    """
    from ablations.worker import Worker, WorkerSettings

    home, study = options.home.resolve(), study_directory(options).study
    uri, storage = tracking_uri(options), options.storage
    settings = WorkerSettings(home, study, uri, storage, options.parent)
    if options.parent is not None:
        return Worker(settings).work()
    from ablations.attendance import attend

    return attend(settings, options.workers, tops_up=options.top_up)


def status(options: argparse.Namespace) -> int:
    """How far a study is, once or until its end, with an exit status like that of `ablate run`."""
    from ablations.running import sync_or_say
    from ablations.watching import show_progress, watch

    directory = study_directory(options)
    if not options.watch:
        show_progress(directory, options.storage)
        return 0

    def publish() -> None:
        sync_or_say(plain_console(), options, directory.load_plan(), directory)

    return watch(directory, options.storage, publish)


def cancel(options: argparse.Namespace) -> int:
    """Have all workers of a study give their runs back and end."""
    from ablations.watching import cancel

    return cancel(study_directory(options), options.storage)


def move(options: argparse.Namespace) -> int:
    """Take the queue of a study to another storage."""
    from ablations.ledger_location import STORAGE_VARIABLE
    from ablations.moving import move_queue

    directory = study_directory(options)
    with plain_console().status("copying the queue"):
        url = move_queue(directory, options.storage)
    print(f"the queue of study {directory.study!r} is in {url} now")
    print("`ablate run` goes on with it, on any launcher")
    if os.environ.get(STORAGE_VARIABLE, url) != url:
        print(f"{STORAGE_VARIABLE} is set: if it names another storage, change it")
    return 0


def proxy(options: argparse.Namespace) -> int:
    """Serve a database to workers."""
    from ablations.proxy import serve

    return serve(options.storage, options.host, options.port)


def doctor(options: argparse.Namespace) -> int:
    """Whether what a study needs is there."""
    from ablations.doctor.command import doctor

    return doctor(options)


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
    from ablations.tracking_errors import explaining

    directory = study_directory(options)
    plan, uri = directory.load_plan(), tracking_uri(options)
    with explaining(uri):
        sent = sync_study(Tracking(uri), plan, directory)
    print(f"{sent} runs sent to {uri}")
    return 0


def ui(options: argparse.Namespace) -> int:
    """Serve the MLflow UI on a study."""
    from ablations.ui import serve

    return serve(study_directory(options), tracking_uri(options), options.host, options.port)
