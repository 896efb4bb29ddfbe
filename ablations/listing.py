"""What the home folder holds, by the word of each study's ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ablations.ledger_location import ledger_of
from ablations.plan_statuses import statuses_in
from ablations.progress import Progress, measure
from ablations.run_directory import StudyDirectory
from ablations.run_status import RunStatus
from studies.plan import Plan


def statuses_of(plan: Plan, directory: StudyDirectory) -> dict[str, RunStatus]:
    """The status of each run of a study that was run under this home folder."""
    return statuses_in(ledger_of(directory), plan)


def progress_of(plan: Plan, directory: StudyDirectory) -> Progress:
    """The progress of a study that was run under this home folder."""
    return measure(plan, statuses_of(plan, directory))


def studies_at_home(home: Path) -> Iterator[tuple[str, str]]:
    """Name and progress line of each study under a home folder."""
    for path in sorted(home.glob("*/plan.json")):
        directory = StudyDirectory(home, path.parent.name)
        yield directory.study, progress_of(directory.load_plan(), directory).line()
