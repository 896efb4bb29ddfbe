"""The `ablate` command: its subcommands and their options."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ablations import commands, query, reporting, running
from ablations.cluster_commands import add_cluster_commands
from ablations.command_adder import CommandAdder
from ablations.exporting import add_export
from ablations.generating import add_generate
from ablations.option_types import above_zero, hours, positive
from ablations.typed_commands import UI_HOST, UI_PORT
from studies.errors import AblationError

BROKEN_PIPE = 128 + 13
"""What a shell reports of a command that SIGPIPE ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        status = _status(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _discard_output()
        return BROKEN_PIPE


def _status(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
        return int(options.action(options))
    except AblationError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ablate: interrupted", file=sys.stderr)
        return commands.INTERRUPTED


def _discard_output() -> None:
    """Let what is still buffered go nowhere, or the interpreter's last flush fails again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ablate", description="Ablation studies of transformer language models."
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = CommandAdder(subparsers)
    _add_planning(add)
    _add_training(add)
    add_cluster_commands(add)
    _add_reading(add)
    _add_results(add)
    return parser


def _add_planning(add: CommandAdder) -> None:
    listing = add(
        "list",
        commands.list_studies,
        "shipped studies, and the studies under --home",
        "ablate list",
        study=False,
    )
    listing.add_argument(
        "--keys", action="store_true", help="every key of a study file and every level, by name"
    )
    listing.add_argument(
        "--metrics", action="store_true", help="every metric of a run, with definition and source"
    )
    plan = add(
        "plan",
        commands.plan,
        "the cells and runs of a study, with what is merged or excluded and why",
        "ablate plan quickstart --set seeds=5",
        settable=True,
    )
    output = plan.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the plan as JSON")
    output.add_argument(
        "--cost",
        action="store_true",
        help="rehearse each variant for a second or two, and print what the study will take",
    )
    plan.add_argument(
        "--detect", type=above_zero, metavar="NATS", help="how many seeds detect this difference"
    )
    plan.add_argument(
        "--workers", type=positive, help="with --cost: as if with so many worker processes"
    )
    add(
        "check",
        commands.check,
        "pre-flight: build the data and try each variant on a small version",
        "ablate check quickstart",
        settable=True,
    )


def _add_training(add: CommandAdder) -> None:
    run = add(
        "run",
        running.run,
        "run what is missing of a study; run it again to go on after a stop",
        "ablate run quickstart --set training.max_steps=100 --workers 2",
        settable=True,
        tracked=True,
        stored=True,
    )
    run.add_argument(
        "--launcher",
        metavar="NAME",
        help="who places the workers: local (processes of this machine), slurm, or debug (this "
        "very process); default: what the profile says, else local",
    )
    run.add_argument(
        "--workers", type=positive, help="workers (default: GPUs or cores; one with slurm)"
    )
    run.add_argument("--retry-failed", action="store_true", help="run failed runs once more")
    run.add_argument(
        "--pilot",
        type=positive,
        metavar="SEEDS",
        help="run a pilot called STUDY-pilot instead, on so many seeds of its own at the shared "
        "values: it tells `ablate plan` how far results scatter",
    )
    run.add_argument(
        "--budget-hours",
        type=hours,
        metavar="HOURS",
        help="ask before more GPU-hours (on a CPU, core-hours) than this are spent (default: "
        "ABLATE_BUDGET_HOURS, or else 1)",
    )
    run.add_argument("--yes", action="store_true", help="start whatever it costs")
    worker = add(
        "worker",
        commands.worker,
        "claim and train runs of a study that `ablate run` queued, until none is left",
        "ablate worker quickstart",
        tracked=True,
        stored=True,
    )
    worker.add_argument(
        "--workers",
        type=positive,
        help="processes that train (default: one for each visible GPU, or for each group of GPUs "
        "that a run needs; one without GPUs)",
    )
    worker.add_argument(
        "--top-up",
        action="store_true",
        help="when a signal says that the time limit is near, place a successor",
    )
    worker.add_argument("--parent", type=int, help=argparse.SUPPRESS)


def _add_reading(add: CommandAdder) -> None:
    status = add(
        "status",
        commands.status,
        "how far a study is",
        "ablate status quickstart --watch",
        tracked=True,
        stored=True,
    )
    status.add_argument("--watch", action="store_true", help="follow until every run has ended")
    add(
        "cancel",
        commands.cancel,
        "have all workers of a study save what they train, give it back and end",
        "ablate cancel quickstart",
        stored=True,
    )
    show = add(
        "show",
        commands.show,
        "one run: how it ended, its curves, and what the diagnostics saw in its layers",
        "ablate show quickstart/gelu-layer-pre/0 --tap hidden",
        study=False,
        run=True,
    )
    show.add_argument(
        "--family",
        action="append",
        default=[],
        help="show this family of curves, such as activation_drift or activation_rms/hidden, or "
        "this curve, such as val/loss; repeatable",
    )
    show.add_argument(
        "--tap", action="append", default=[], help="show this tap, such as hidden; repeatable"
    )
    show.add_argument("--all", action="store_true", help="show every family at every tap")
    show.add_argument("--json", action="store_true", help="print the record and all curves as JSON")
    add_generate(add)
    add_export(add)


def _add_results(add: CommandAdder) -> None:
    add(
        "sync",
        commands.sync,
        "send to the tracking store what it lacks, from the run directories",
        "ablate sync quickstart --tracking-uri http://127.0.0.1:5000",
        tracked=True,
    )
    report = add(
        "report",
        reporting.report,
        "tables, figures and a page from the runs of a study, or of several on shared cells",
        "ablate report quickstart",
        several=True,
        tracked=True,
    )
    reporting.add_options(report)
    _add_query(add)
    ui = add(
        "ui", commands.ui, "open the MLflow UI on a study", "ablate ui quickstart", tracked=True
    )
    ui.add_argument("--host", default=UI_HOST, help="address to bind (default: %(default)s)")
    ui.add_argument("--port", type=positive, default=UI_PORT, help="port (default: %(default)s)")


def _add_query(add: CommandAdder) -> None:
    parser = add(
        "query",
        query.query,
        "find tracked runs by their params, metrics and tags",
        'ablate query \'params.norm = "layer" and metrics."val/loss" < 2.1\'',
        study=False,
        tracked=True,
    )
    parser.add_argument(
        "filter",
        nargs="?",
        default="",
        metavar="FILTER",
        help="comparisons joined by `and`, in MLflow's grammar (default: every run); params and "
        "tags may also be compared with numbers and lists",
    )
    parser.add_argument("--study", help="search this study alone, by name or by its file")
    parser.add_argument(
        "--kind",
        choices=("run", "finetuning", "variant", "study", "all"),
        help="runs of one seed each, those that fine-tune them, means over the seeds of a variant, "
        "the runs that stand for studies, or all of these with runs of earlier plans (default: "
        "run, or what FILTER says of tags.kind)",
    )
    parser.add_argument(
        "--columns",
        metavar="NAME,...",
        help="show these params, metrics and tags, such as norm,val/loss",
    )
    parser.add_argument("--sort", metavar="NAME", help="order by a param, metric or tag")
    parser.add_argument("--descending", action="store_true", help="with --sort, the largest first")
    parser.add_argument("--limit", type=positive, help="show so many runs, and count the others")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--csv", action="store_true", help="print CSV, with numbers in full")
    output.add_argument("--json", action="store_true", help="print all that the runs have as JSON")


if __name__ == "__main__":
    sys.exit(main())
