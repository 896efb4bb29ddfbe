"""What a report was made of: runs, versions, options, and digests of its files; no dates."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

from reports.exhibits import Exhibits, Table
from reports.links import RunLinks
from reports.overview import provenance_values
from reports.results.frame import StudyResults
from reports.writers.numbers import row_names
from studies.run_spec import digest

MANIFEST = "manifest.json"
MANIFEST_VERSION = 2
PACKAGES = ("ablations", "jinja2", "matplotlib", "numpy", "pandas", "scipy", "seaborn")


def manifest_json(
    results: StudyResults,
    sections: Sequence[tuple[str, str, Exhibits]],
    contents: Mapping[str, bytes],
    options: Mapping[str, Any],
    links: RunLinks | None,
) -> bytes:
    """The manifest: each row of a table, figure and section leads to its runs by their number.

    Args:
        results: what the report is of.
        sections: name, title and exhibits.
        contents: every other file by its path below the report.
        options: what the report was asked for.
        links: where its runs are in the MLflow UI.
    """
    plan = results.plan
    runs = _runs(results, links)
    numbers = {run["run_key"]: i for i, run in enumerate(runs)}

    def traced(keys: Sequence[str]) -> list[int]:
        return sorted(numbers[key] for key in set(keys))

    manifest = {
        "manifest_version": MANIFEST_VERSION,
        "study": plan.study.name,
        "study_digest": digest(plan.study.model_dump(mode="json")),
        "baseline": plan.baseline,
        "registration_digest": results.registration.digest if results.registration else None,
        "options": dict(options),
        "mlflow": links and {"ui_url": links.ui_url, "experiment_id": links.experiment_id},
        "runs": runs,
        "sections": {
            name: {
                "sentences": list(found.sentences),
                "tables": {
                    table.name: {row: traced(keys) for row, keys in _runs_of_rows(table)}
                    for table in found.tables
                },
                "figures": {figure.name: traced(figure.runs) for figure in found.figures},
            }
            for name, _, found in sections
        },
        "provenance": provenance_values(results),
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


def _runs(results: StudyResults, links: RunLinks | None) -> list[dict[str, Any]]:
    """Every planned run, with the commit that it was trained by and its MLflow run."""
    columns = ["run_key", "variant", "seed", "stage", "outcome"]
    found: list[dict[str, Any]] = [
        {str(name): value for name, value in run.items()}
        for run in results.runs[columns].to_dict("records")
    ]
    for run in found:
        record = results.records.get(run["run_key"])
        git = record.provenance.get("git") if record else None
        run["mlflow_run_id"] = links.run_ids.get(run["run_key"]) if links else None
        run["git_commit"] = git.get("commit") if isinstance(git, Mapping) else None
    return found
