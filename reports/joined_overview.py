"""The head of the report of several studies."""

from __future__ import annotations

from reports.analysis.joined.protocol import collect_protocol
from reports.overview import Fact, Overview, environment
from reports.results.frame import StudyResults
from reports.results.joined import JoinedResults
from reports.words import (
    FINISHED,
    plural,
    progress_text,
)


def collect_joined_overview(joined: JoinedResults) -> Overview:
    """Which studies, how far each is, what all of them have alike, and where they ran."""
    outcomes = joined.outcomes()
    open_ = [
        f"{letter}: {_progress(results)}"
        for letter, results in zip(joined.letters, joined.studies, strict=True)
        if not is_finished(results)
    ]
    equal = collect_protocol(joined).equal
    shared = len(joined.shared)
    cells = plural(shared, "cell")
    return Overview(
        study=" + ".join(joined.names),
        question="",
        outcomes=outcomes,
        progress="; ".join(open_) or progress_text(outcomes),
        partial=bool(open_),
        factors=tuple(
            Fact(letter, name) for letter, name in zip(joined.letters, joined.names, strict=True)
        ),
        protocol=tuple(
            Fact(f"{setting.part}: {setting.name}", setting.values[0]) for setting in equal
        ),
        environment=environment(joined.records.values()),
        overrides=tuple(
            Fact(f"{letter}: {key}", str(value))
            for letter, results in zip(joined.letters, joined.studies, strict=True)
            for key, value in results.plan.overrides.items()
        ),
        design=(
            f"{len(joined.studies)} studies, joined on {cells} of {len(joined.cells)}; "
            f"{len(joined.run_keys)} different runs"
        ),
        merged=(),
        excluded=(),
        kind="Joint report",
        protocol_title="Equal in all studies",
    )


def is_finished(results: StudyResults) -> bool:
    """Whether every planned run has a result, and no search may ask for more."""
    outcomes = results.outcomes()
    return sum(outcomes[o] for o in FINISHED) == len(results.plan.runs) and results.plan.is_settled


def _progress(results: StudyResults) -> str:
    return progress_text(results.outcomes(), searching=not results.plan.is_settled)
