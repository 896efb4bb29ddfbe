"""Whether a report still says what its runs say: it is made again, and compared."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.build import ReportOptions, compose
from reports.links import JoinedLinks, Links, RunLinks
from reports.results.frame import StudyResults, UnreadableResults
from reports.results.joined import JoinedResults, qualified
from reports.writers.manifest import MANIFEST
from reports.writers.pictures import has_tex

TOLERANCE = 1e-8
"""Relative difference below which two numbers are one: files have ten digits."""
MISSING = "the file is missing"

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Verification:
    """What came of it."""

    changes: tuple[str, ...]
    """What is not as it was: a run, a number, a sentence, a file; each in one line."""
    redrawn: tuple[str, ...]
    """Files that say the same and were written otherwise, by other versions of the software."""
    unchecked: tuple[str, ...]
    """Files that this machine cannot make."""
    files: int
    runs: int

    @property
    def holds(self) -> bool:
        """Whether the report stands as it is."""
        return not self.changes


def verify_report(
    results: StudyResults | JoinedResults, output: Path, workers: int = 1
) -> Verification:
    """Make the report of a folder again and compare it with what lies there; write nothing.

    Args:
        results: what is known about the runs now.
        output: folder of the report.
        workers: processes that draw.

    Raises:
        UnreadableResults: there is no report, or it is of another study.
    """
    old = _read_manifest(output, results.name)
    formats = tuple(f for f in old["options"]["formats"] if f != "pgf" or has_tex())
    pages = old["options"].get("pages", {})
    options = ReportOptions(old["options"]["venue"], formats, _links(old), pages, workers)
    contents = compose(results, options)
    new = json.loads(contents[MANIFEST])
    unchecked = [
        name
        for name in old["files"]
        if name.startswith("figures/pgf/") and len(formats) < len(old["options"]["formats"])
    ]
    others = [
        name
        for name in sorted({*old["files"], *new["files"]}.difference(unchecked))
        if old["files"].get(name) != new["files"].get(name)
    ]
    edited = dict(_edited(output, old))
    changes = [f"{name}: {what}" for name, what in edited.items()]
    changes += [*_changed_runs(old, new), *_changed_sentences(old, new)]
    for name in sorted({*edited, *others}):
        if name.endswith(".csv") and edited.get(name) != MISSING:
            changes += _changed_entries(name, output, contents)
    others = [name for name in others if not name.endswith(".csv")]
    if old["report_versions"] == new["report_versions"] and others:
        changes.append(f"{len(others)} other files differ: {', '.join(others)}")
        others = []
    return Verification(
        tuple(changes), tuple(others), tuple(unchecked), len(old["files"]), len(new["runs"])
    )


def _read_manifest(output: Path, study: str) -> Manifest:
    path, again = output / MANIFEST, study.replace("+", " ")
    if not path.is_file():
        raise UnreadableResults(
            f"no {MANIFEST} in {output}: there is no report to verify. "
            f"Write it with `ablate report {again}`, or name its folder with --output."
        )
    manifest: Manifest = json.loads(path.read_text(encoding="utf-8"))
    if manifest["study"] != study:
        raise UnreadableResults(
            f"the report in {output} is of the study {manifest['study']!r}, not of {study!r}. "
            "Name its own study, or the folder of the other report with --output."
        )
    if "options" not in manifest:
        raise UnreadableResults(
            f"the report in {output} was written by an older version, which kept no options. "
            f"Write it anew with `ablate report {again}`."
        )
    return manifest


def _links(old: Manifest) -> Links | None:
    if "studies" not in old:
        return _links_of(old, old["runs"])
    found = {
        study["study"]: _links_of(study, [r for r in old["runs"] if r["study"] == study["study"]])
        for study in old["studies"]
    }
    known = {name: links for name, links in found.items() if links is not None}
    return JoinedLinks(known) if known else None


def _links_of(study: Manifest, runs: Sequence[Manifest]) -> RunLinks | None:
    """Of one study, by what the manifest says of it."""
    if study["mlflow"] is None:
        return None
    ids = {run["run_key"]: run["mlflow_run_id"] for run in runs if run["mlflow_run_id"]}
    return RunLinks(run_ids=ids, **study["mlflow"])


def _edited(output: Path, old: Manifest) -> Iterator[tuple[str, str]]:
    for name, digest in old["files"].items():
        path = output / name
        if not path.is_file():
            yield name, MISSING
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield name, "the file was changed after it was written"


def _changed_runs(old: Manifest, new: Manifest) -> Iterator[str]:
    before, now = ({_called(run): run for run in m["runs"]} for m in (old, new))
    for key in {**before, **now}:
        run = now.get(key) or before[key]
        name = f"run {key} ({run['variant']}, seed {run['seed']})"
        if key not in before:
            yield f"{name}: new in the plan"
        elif key not in now:
            yield f"{name}: no longer in the plan"
        elif before[key]["outcome"] != now[key]["outcome"]:
            yield f"{name}: was {before[key]['outcome']}, is {now[key]['outcome']}"
        elif before[key] != now[key]:
            yield f"{name}: trained anew by commit {now[key]['git_commit']}"


def _called(run: Manifest) -> str:
    """The key of a run; of a report of several studies with the study."""
    return qualified(run["study"], run["run_key"]) if "study" in run else str(run["run_key"])


def _changed_sentences(old: Manifest, new: Manifest) -> Iterator[str]:
    for section in {**old["sections"], **new["sections"]}:
        before, now = (m["sections"].get(section, {}).get("sentences", []) for m in (old, new))
        yield from (f"section {section} no longer says: {s}" for s in before if s not in now)
        yield from (f"section {section} now says: {s}" for s in now if s not in before)


def _changed_entries(name: str, output: Path, contents: Mapping[str, bytes]) -> Iterator[str]:
    """The entries of a table or of a figure's data that are not what they were."""
    path = output / name
    if name not in contents:
        yield f"{name}: would not be written any more"
        return
    if not path.is_file():
        yield f"{name}: would be written now"
        return
    before, now = (
        list(csv.reader(content.decode().splitlines()))
        for content in (path.read_bytes(), contents[name])
    )
    if before[:1] != now[:1]:
        yield f"{name}: has other columns"
    elif len(before) != len(now):
        yield f"{name}: {len(before) - 1} rows, now {len(now) - 1}"
    else:
        for old_row, new_row in zip(before[1:], now[1:], strict=True):
            for column, was, is_now in zip(before[0], old_row, new_row, strict=True):
                if not _same(was, is_now):
                    yield f"{name}: {old_row[0]}, {column}: {was or 'nothing'}, now {is_now}"


def _same(was: str, is_now: str) -> bool:
    try:
        return was == is_now or math.isclose(float(was), float(is_now), rel_tol=TOLERANCE)
    except ValueError:
        return False
