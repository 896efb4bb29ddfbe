"""The sections of the report of several studies, in order."""

from __future__ import annotations

from collections.abc import Mapping

from reports.analysis.joined_comparison import compare_joined
from reports.analysis.joined_protocol import collect_protocol
from reports.exhibits import RUNS, Exhibits
from reports.results.joined import JoinedResults
from reports.sections import (
    joined_cells,
    joined_protocol,
    joined_ranks,
    joined_runs,
    joined_studies,
)


def joined_sections(
    joined: JoinedResults, pages: Mapping[str, str]
) -> list[tuple[str, str, Exhibits]]:
    """Name, title and exhibits of each section.

    Args:
        joined: the studies.
        pages: study to the address of its own report.
    """
    return [
        ("studies", "Studies", joined_studies.render(joined_studies.collect(joined, pages))),
        (
            "differences-in-protocol",
            "Differences in protocol",
            joined_protocol.render(collect_protocol(joined)),
        ),
        ("shared-cells", "Shared cells", joined_cells.render(compare_joined(joined))),
        ("ranks", "Agreement of ranks", joined_ranks.render(joined_ranks.collect(joined))),
        (RUNS, "Runs", joined_runs.render(joined_runs.collect(joined))),
    ]
