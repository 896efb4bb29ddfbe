"""The sections of the report of several studies, in order."""

from __future__ import annotations

from collections.abc import Mapping

from reports.analysis.joined.comparison import compare_joined
from reports.analysis.joined.protocol import collect_protocol
from reports.exhibits import RUNS, Exhibits
from reports.results.joined import JoinedResults
from reports.sections.joined import cells, protocol, ranks, runs, studies


def joined_sections(
    joined: JoinedResults, pages: Mapping[str, str]
) -> list[tuple[str, str, Exhibits]]:
    """Name, title and exhibits of each section.

    Args:
        joined: the studies.
        pages: study to the address of its own report.
    """
    return [
        ("studies", "Studies", studies.render(studies.collect(joined, pages))),
        (
            "differences-in-protocol",
            "Differences in protocol",
            protocol.render(collect_protocol(joined)),
        ),
        ("shared-cells", "Shared cells", cells.render(compare_joined(joined))),
        ("ranks", "Agreement of ranks", ranks.render(ranks.collect(joined))),
        (RUNS, "Runs", runs.render(runs.collect(joined))),
    ]
