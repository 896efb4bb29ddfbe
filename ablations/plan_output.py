"""What `ablate plan` prints: the plan, what it can show, and what it will cost."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from ablations.console import plain_console
from ablations.detection import detection_lines
from ablations.display import show_plan
from ablations.run_directory import StudyDirectory
from studies.errors import AblationError
from studies.plan import Plan


def print_plan(plan: Plan, options: argparse.Namespace) -> None:
    """Print a plan with the difference that it can detect, and if asked for with its cost.

    Raises:
        AblationError: what was asked for cannot be known, or does not go together.
    """
    if options.json:
        if options.detect is not None:
            raise AblationError("--json prints the plan alone: leave out --json or --detect")
        print(json.dumps(plan.model_dump(mode="json"), indent=1))
        return
    console, home = plain_console(), options.home.resolve()
    show_plan(console, plan)
    directory = StudyDirectory(home, plan.study.name)
    for line in detection_lines(plan, directory, options.detect):
        console.print(line, soft_wrap=not console.is_terminal)
    if options.cost:
        _print_cost(console, plan, home, options.workers)


def _print_cost(console: Console, plan: Plan, home: Path, workers: int | None) -> None:
    from ablations.cost_words import show_cost
    from ablations.search import with_stored_search
    from ablations.spending import costing_of

    plan = with_stored_search(plan, StudyDirectory(home, plan.study.name))
    show_cost(console, plan, costing_of(plan, home, workers=workers, retry_failed=False))
