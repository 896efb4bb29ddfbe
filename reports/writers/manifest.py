"""What a report was made of: runs, versions, options, and digests of its files; no dates."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

from reports.content import Content
from reports.exhibits import Table
from reports.references import as_text
from reports.writers.numbers import row_names

MANIFEST = "manifest.json"
MANIFEST_VERSION = 2
PACKAGES = ("ablations", "jinja2", "matplotlib", "numpy", "pandas", "scipy", "seaborn")


def manifest_json(
    report: Content, contents: Mapping[str, bytes], options: Mapping[str, Any]
) -> bytes:
    """The manifest: each row of a table, figure and section leads to its runs by their number.

    Args:
        report: what was written.
        contents: every other file by its path below the report.
        options: what the report was asked for.
    """
    numbers = {name: number for number, name in enumerate(report.runs)}

    def traced(runs: Sequence[str]) -> list[int]:
        return sorted(numbers[name] for name in set(runs))

    manifest = {
        "manifest_version": MANIFEST_VERSION,
        **report.identity,
        "options": dict(options),
        "runs": list(report.runs.values()),
        "sections": {
            name: {
                "sentences": [as_text(sentence) for sentence in found.sentences],
                "tables": {
                    table.name: {row: traced(runs) for row, runs in _runs_of_rows(table)}
                    for table in found.tables
                },
                "figures": {figure.name: traced(figure.runs) for figure in found.figures},
            }
            for name, _, found in report.sections
        },
        "provenance": report.provenance,
        "report_versions": report_versions(),
        "files": {
            name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())
        },
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    # A list of numbers stays in one line.
    text = re.sub(r"\[\n([\d,\s]+)\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    return f"{text}\n".encode()


def _runs_of_rows(table: Table) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name of each row, and the runs behind it; one below the data is named by its text."""
    below = [row.cells[0].text for row in table.rows[len(table.data) :]]
    for name, row in zip([*row_names(table), *below], table.rows, strict=True):
        yield name, row.runs


def report_versions() -> dict[str, str]:
    """Versions of what numbers are computed and drawn with."""
    return {
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in PACKAGES},
    }
