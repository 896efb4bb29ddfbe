"""The options that subcommands of `ablate` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ablations.option_types import address
from ablations.run_lookup import FORMS
from ablations.typed_commands import DEFAULT_HOME


class CommandAdder:
    """Adds subcommands that share their common options."""

    def __init__(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        self._subparsers = subparsers

    def __call__(
        self,
        name: str,
        action: Callable[[argparse.Namespace], int],
        summary: str,
        example: str,
        *,
        study: bool = True,
        several: bool = False,
        run: bool = False,
        settable: bool = False,
        tracked: bool = False,
        stored: bool = False,
    ) -> argparse.ArgumentParser:
        """Add a subcommand with the common options that it takes; its own are added after."""
        parser = self._subparsers.add_parser(
            name, help=summary, description=summary, epilog=f"example: {example}"
        )
        parser.set_defaults(action=action)
        if several:
            parser.add_argument(
                "studies",
                nargs="+",
                metavar="study",
                help="a shipped study or the path of a study file; of several, the report compares "
                "the cells that they share",
            )
        elif study:
            parser.add_argument("study", help="a shipped study or the path of a study file")
        if run:
            parser.add_argument("run", metavar="RUN", help=FORMS.removeprefix("RUN is "))
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
            default=DEFAULT_HOME,
            help="folder of runs, caches and the tracking store (default: %(default)s)",
        )
        if tracked:
            _add_tracking(parser)
        if stored:
            parser.add_argument(
                "--storage",
                metavar="URL",
                help="where the queue is: postgresql://USER@HOST/DATABASE, mysql://..., "
                "grpc://HOST:PORT, journal (a file for machines that share a file system) or "
                "sqlite (default: what the study's folder says, else ABLATE_STORAGE, else sqlite)",
            )
        return parser


def _add_tracking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tracking-uri",
        type=address,
        help="MLflow tracking store (default: that of the profile that is asked for, else what the "
        "study was run with last, else the SQLite file HOME/mlflow.db)",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="profile of where studies run (default: ABLATE_PROFILE, else what the study was run "
        "with last, else `default`)",
    )
