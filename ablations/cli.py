"""The `ablate` command. Heavy packages are imported by the subcommands that need them."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from ablations.run_directory import StudyDirectory
from ablations.tracking_store import default_tracking_uri
from studies.errors import AblationError
from studies.loading import LoadedStudy, load_study, shipped_studies
from studies.plan import Plan

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    try:
        return int(options.action(options))
    except AblationError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ablate", description="Ablation studies of transformer language models."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = _Adder(commands)
    listing = add(
        "list", _list, "shipped studies, and the studies under --home", "ablate list", study=False
    )
    listing.add_argument(
        "--keys", action="store_true", help="every key of a study file and every level, by name"
    )
    plan = add(
        "plan",
        _plan,
        "the cells and runs of a study, with what is merged or excluded and why",
        "ablate plan quickstart --set seeds=5",
        settable=True,
    )
    plan.add_argument("--json", action="store_true", help="print the plan as JSON")
    add(
        "check",
        _check,
        "pre-flight: build the data and try each variant on a small version",
        "ablate check quickstart",
        settable=True,
    )
    run = add(
        "run",
        _run,
        "run what is missing of a study; run it again to go on after a stop",
        "ablate run quickstart --set training.max_steps=100 --workers 2",
        settable=True,
        tracked=True,
    )
    run.add_argument("--workers", type=_positive, help="worker processes (default: GPUs or cores)")
    run.add_argument("--retry-failed", action="store_true", help="run failed runs once more")
    worker = add(
        "worker",
        _worker,
        "claim and train runs of a study that `ablate run` queued, until none is left",
        "ablate worker quickstart",
        tracked=True,
    )
    worker.add_argument("--parent", type=int, help="stop when this process is gone")
    status = add("status", _status, "how far a study is", "ablate status quickstart --watch")
    status.add_argument("--watch", action="store_true", help="follow until every run has ended")
    add(
        "sync",
        _sync,
        "send to the tracking store what it lacks, from the run directories",
        "ablate sync quickstart --tracking-uri http://127.0.0.1:5000",
        tracked=True,
    )
    report = add(
        "report",
        _report,
        "tables, figures and a page from the runs of a study",
        "ablate report quickstart",
        tracked=True,
    )
    report.add_argument("--output", type=Path, help="folder (default: HOME/STUDY/report)")
    report.add_argument(
        "--from-tracking", action="store_true", help="read MLflow and not the run directories"
    )
    ui = add("ui", _ui, "open the MLflow UI on a study", "ablate ui quickstart", tracked=True)
    ui.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    ui.add_argument("--port", type=_positive, default=5000, help="port (default: %(default)s)")
    return parser


class _Adder:
    """Adds subcommands that share their common options."""

    def __init__(self, commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        self._commands = commands

    def __call__(
        self,
        name: str,
        action: Callable[[argparse.Namespace], int],
        summary: str,
        example: str,
        *,
        study: bool = True,
        settable: bool = False,
        tracked: bool = False,
    ) -> argparse.ArgumentParser:
        parser = self._commands.add_parser(
            name, help=summary, description=summary, epilog=f"example: {example}"
        )
        parser.set_defaults(action=action)
        if study:
            parser.add_argument("study", help="a shipped study or the path of a study file")
        if settable:
            parser.add_argument(
                "--set",
                action="append",
                default=[],
                metavar="KEY=VALUE",
                help="override a key of the study, such as training.max_steps=200; repeatable",
            )
        parser.add_argument(
            "--home",
            type=Path,
            default=Path(os.environ.get("ABLATE_HOME", "ablate-out")),
            help="folder of runs, caches and the tracking store (default: %(default)s)",
        )
        if tracked:
            parser.add_argument(
                "--tracking-uri",
                help="MLflow tracking store (default: the SQLite file HOME/mlflow.db)",
            )
        return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _console() -> Console:
    """A terminal that prints names as they are: no markup, no guessing at what to colour."""
    return Console(
        width=None if sys.stdout.isatty() else 160, markup=False, highlight=False, emoji=False
    )


def _loaded_plan(options: argparse.Namespace) -> tuple[LoadedStudy, Plan]:
    from studies.planning import make_plan

    loaded = load_study(options.study, options.set)
    return loaded, make_plan(loaded.study, loaded.overrides)


def _study_directory(options: argparse.Namespace) -> StudyDirectory:
    """The folder of a study that was run: by its name, or by the path of its file."""
    name = options.study
    if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
        name = load_study(name).study.name
    return StudyDirectory(options.home, name)


def _tracking_uri(options: argparse.Namespace) -> str:
    return options.tracking_uri or default_tracking_uri(options.home)


def _list(options: argparse.Namespace) -> int:
    if options.keys:
        from studies.reference import reference

        print(reference(), end="")
        return 0
    from rich.table import Table

    from ablations.listing import studies_at_home

    console = _console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("shipped study", no_wrap=True)
    table.add_column("question")
    for name in shipped_studies():
        table.add_row(name, load_study(name).study.question)
    console.print(table)
    for name, line in studies_at_home(options.home):
        console.print(f"{name} in {options.home}: {line}")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from ablations.display import show_plan

    _, plan = _loaded_plan(options)
    if options.json:
        print(json.dumps(plan.model_dump(mode="json"), indent=1))
    else:
        show_plan(_console(), plan)
    return 0


def _check(options: argparse.Namespace) -> int:
    from ablations.display import show_preflight
    from ablations.preflight import preflight

    _, plan = _loaded_plan(options)
    console = _console()
    with console.status("pre-flight") as status:
        found = preflight(plan, options.home.resolve() / "cache", status.update)
    show_preflight(console, found)
    found.raise_for_problems()
    console.print(f"pre-flight passed: {len(found.checks)} variants")
    return 0


def _run(options: argparse.Namespace) -> int:
    from ablations.display import progress_display
    from ablations.driver import Driver, RunSettings

    loaded, plan = _loaded_plan(options)
    console = _console()
    home = options.home.resolve()
    settings = RunSettings(home, _tracking_uri(options), options.workers, options.retry_failed)
    driver = Driver(plan, settings)
    directory = driver.directory
    runs = f"{len(plan.cells)} cells x {len(plan.study.seeds)} seeds = {len(plan.runs)} runs"
    console.print(f"{plan.study.name}: {runs}, in {directory.path}")
    if not driver.progress().is_complete or options.retry_failed:
        with console.status("pre-flight") as status:
            driver.check(status.update)
    directory.save_plan(plan, loaded.path.read_text(encoding="utf-8"))
    with progress_display(console) as show:
        summary = driver.run(show)
    with console.status("sending what the tracking store lacks"):
        _sync_or_say(console, plan, directory, settings.tracking_uri)
    return _sum_up(console, plan, summary)


def _sync_or_say(console: Console, plan: Plan, directory: StudyDirectory, uri: str) -> None:
    """Bring the tracking store up to date; a store that is away costs nothing but a line."""
    from ablations.publishing import sync_study
    from ablations.tracking import Tracking

    try:
        sync_study(Tracking(uri), plan, directory)
    except Exception as error:
        console.print(f"tracking is away: {str(error).splitlines()[0]}")
        command = f"ablate sync {plan.study.name} --tracking-uri {uri}"
        console.print(f"nothing is lost: `{command}` sends it later", highlight=False)


def _sum_up(console: Console, plan: Plan, summary: object) -> int:
    from ablations.driver import RunSummary
    from ablations.ledger import RunState

    assert isinstance(summary, RunSummary)
    name = plan.study.name
    console.print(summary.progress.line())
    failed = [r for r in plan.runs if summary.statuses[r.run_key].state is RunState.FAILED]
    for run in failed[:10]:
        error = summary.statuses[run.run_key].error
        console.print(f"failed: {run.variant} seed {run.seed}: {error}")
    if failed:
        console.print(
            f"`ablate run {name} --retry-failed` tries the {len(failed)} failed runs again"
        )
    if summary.interrupted:
        console.print(f"stopped; `ablate run {name}` goes on from the last checkpoints")
        return INTERRUPTED
    console.print(f"report: ablate report {name}   MLflow UI: ablate ui {name}")
    return 1 if failed else 0


def _worker(options: argparse.Namespace) -> int:
    from ablations.worker import Worker, WorkerSettings

    home = options.home.resolve()
    Worker(WorkerSettings(home, options.study, _tracking_uri(options), options.parent)).work()
    return 0


def _status(options: argparse.Namespace) -> int:
    from ablations.display import progress_display, show_status
    from ablations.listing import progress_of

    directory = _study_directory(options)
    plan = directory.load_plan()
    console = _console()
    if not options.watch:
        show_status(console, plan, progress_of(plan, directory))
        return 0
    with progress_display(console) as show:
        progress = progress_of(plan, directory)
        show(progress)
        while not progress.is_complete:
            time.sleep(1.0)
            progress = progress_of(plan, directory)
            show(progress)
    return 0


def _sync(options: argparse.Namespace) -> int:
    from ablations.publishing import sync_study
    from ablations.tracking import Tracking

    directory = _study_directory(options)
    uri = _tracking_uri(options)
    sent = sync_study(Tracking(uri), directory.load_plan(), directory)
    print(f"{sent} runs sent to {uri}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from reports.build import build_report
    from reports.sources import load_study as load_results

    directory = _study_directory(options)
    if options.from_tracking:
        from reports.mlflow_source import load_tracked_study

        results = load_tracked_study(_tracking_uri(options), directory.study)
    else:
        directory.load_plan()
        results = load_results(directory.path)
    files = build_report(results, options.output or directory.report_path)
    print(f"report:    {files.html}")
    print(f"tables:    {files.html.parent / 'tables'}, figures: {files.html.parent / 'figures'}")
    print(f"MLflow UI: ablate ui {directory.study}")
    return 0


def _ui(options: argparse.Namespace) -> int:
    from ablations.ui import serve

    return serve(_study_directory(options), _tracking_uri(options), options.host, options.port)


if __name__ == "__main__":
    sys.exit(main())
