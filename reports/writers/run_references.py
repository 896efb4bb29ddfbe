"""Addresses within a page that lead from a number to the runs behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from reports.exhibits import RUNS, Exhibits

TAG_LETTERS = 6


class RunReferences:
    """Run keys as places in the page's table of runs, which stays short with many of them."""

    def __init__(self, exhibits: Iterable[Exhibits]) -> None:
        tables = [table for found in exhibits for table in found.tables if table.name == RUNS]
        keys = [row.runs[0] for table in tables for row in table.rows]
        self._places = {key: place for place, key in enumerate(keys)}
        self.tag = hashlib.sha256(" ".join(keys).encode()).hexdigest()[:TAG_LETTERS]
        """Tells the list from that of another state of the study, whose places are others."""

    def address(self, run_keys: Sequence[str]) -> str:
        """Fragment that shows these runs alone; empty where one is not in the table, or none."""
        if not run_keys or not self._places.keys() >= set(run_keys):
            return ""
        places = sorted({self._places[key] for key in run_keys})
        return f"#{RUNS}={self.tag}:{','.join(spans(places))}"


def spans(places: Sequence[int]) -> list[str]:
    """Ascending numbers with neighbours joined: "3-7", "9"."""
    found: list[list[int]] = []
    for place in places:
        if found and place == found[-1][1] + 1:
            found[-1][1] = place
        else:
            found.append([place, place])
    return [str(low) if low == high else f"{low}-{high}" for low, high in found]
