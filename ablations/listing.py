"""What the home folder holds, by the word of each study's ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ablations.ledger import Ledger
from ablations.progress import Progress, measure
from ablations.run_directory import StudyDirectory
from ablations.storage import sqlite_url
from studies.plan import Plan


def progress_of(plan: Plan, directory: StudyDirectory) -> Progress:
    """The progress of a study that was run under this home folder."""
    ledger = Ledger(sqlite_url(directory.ledger_path), directory.study, existing=True)
    return measure(plan, ledger.statuses(run.run_key for run in plan.runs))


def studies_at_home(home: Path) -> Iterator[tuple[str, str]]:
    """Name and progress line of each study under a home folder."""
    for path in sorted(home.glob("*/plan.json")):
        directory = StudyDirectory(home, path.parent.name)
        yield directory.study, progress_of(directory.load_plan(), directory).line()
