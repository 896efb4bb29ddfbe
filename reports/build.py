"""Writes a report: page, LaTeX, tables, figures with their data, and a manifest."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from reports.content import content_of
from reports.exhibits import Table
from reports.figures.venues import DEFAULT_VENUE, VENUES, Venue
from reports.links import Links
from reports.results.frame import StudyResults
from reports.results.joined import JoinedResults
from reports.writers.latex import document_tex, figure_tex, is_wide, table_tex
from reports.writers.manifest import MANIFEST, manifest_json
from reports.writers.markdown import table_md
from reports.writers.numbers import numbers_tex
from reports.writers.page import page_html
from reports.writers.pictures import draw_all, known_formats, prepare_processes
from studies.errors import AblationError


@dataclass(frozen=True)
class ReportOptions:
    """For what and how a report is written."""

    venue: str = DEFAULT_VENUE
    """Whose widths figures and tables have."""
    formats: tuple[str, ...] | None = None
    """Of the figures; None: all that this machine can make. `pdf` is always among them."""
    links: Links | None = None
    """Where the page's runs are in the MLflow UI; None for a page without such links."""
    pages: Mapping[str, str] = field(default_factory=dict)
    """In a report of several studies: study to the address of its own report, from this one."""
    workers: int = 1
    """Processes that draw; with more than one, call from a script's `__main__` part."""


@dataclass(frozen=True)
class ReportFiles:
    """Where the report lies."""

    html: Path
    tex: Path
    manifest: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


def build_report(
    results: StudyResults | JoinedResults, output: Path, options: ReportOptions | None = None
) -> ReportFiles:
    """Write the report of a study or of several, finished or not. The same results, the same bytes.

    Args:
        results: the plan and what is known about its runs.
        output: folder; files of an earlier report are replaced one by one, the manifest last.
        options: for what it is written.

    Raises:
        AblationError: a file cannot be written.
    """
    contents = compose(results, options or ReportOptions())
    for name, content in contents.items():
        if name != MANIFEST:
            _write(output / name, content)
    _remove_stale(output, contents)
    _write(output / MANIFEST, contents[MANIFEST])
    return ReportFiles(
        html=output / "report.html",
        tex=output / "report.tex",
        manifest=output / MANIFEST,
        tables=tuple(output / name for name in contents if name.startswith("tables/")),
        figures=tuple(output / name for name in contents if name.startswith("figures/")),
    )


def compose(results: StudyResults | JoinedResults, options: ReportOptions) -> dict[str, bytes]:
    """Every file of the report by its path, the manifest last; nothing is written."""
    formats, venue = known_formats(options.formats), VENUES[options.venue]
    prepare_processes(options.workers)
    report = content_of(results, options.links, options.pages)
    exhibits = [found for _, _, found in report.sections]
    contents: dict[str, bytes] = {}
    for found in exhibits:
        for document in found.documents:
            contents[document.name] = document.text.encode()
        for table in found.tables:
            contents |= _table_files(table, venue)
    tables = [table for found in exhibits for table in found.tables if table.paper]
    contents["numbers.tex"] = numbers_tex(report.name, tables).encode()
    figures = [figure for found in exhibits for figure in found.figures]
    drawings: dict[str, str] = {}
    pictures = draw_all(figures, venue, formats, options.workers)
    for figure, picture in zip(figures, pictures, strict=True):
        contents[f"figures/{figure.name}.csv"] = _csv(figure.data)
        contents[f"figures/{figure.name}.tex"] = figure_tex(figure, venue).encode()
        contents |= picture.files
        drawings[figure.name] = picture.inline
    titled = [(title, found) for _, title, found in report.sections]
    contents["report.tex"] = document_tex(report.head, titled, venue).encode()
    page = page_html(report.head, report.sections, drawings, options.links)
    contents["report.html"] = page.encode()
    asked: dict[str, Any] = {"venue": options.venue, "formats": list(formats)}
    if options.pages:
        asked["pages"] = dict(options.pages)
    contents[MANIFEST] = manifest_json(report, contents, asked)
    return contents


def _table_files(table: Table, venue: Venue) -> dict[str, bytes]:
    """A table for each use of it."""
    path = f"tables/{table.name}"
    files = {f"{path}.md": table_md(table)}
    if table.paper:
        files[f"{path}.tex"] = table_tex(table, two_columns=venue.has_two_columns)
    if table.paper and is_wide(table):
        files[f"{path}_wide.tex"] = table_tex(table, wide=True)
    return {name: text.encode() for name, text in files.items()} | {f"{path}.csv": _csv(table.data)}


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()


def _remove_stale(output: Path, contents: Mapping[str, bytes]) -> None:
    """Remove the tables and figures that an earlier report had and this one has not."""
    manifest = output / MANIFEST
    if manifest.exists():
        for name in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
            if name not in contents and name.startswith(("tables/", "figures/")):
                (output / name).unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename, so that no reader sees half a file."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise AblationError(
            f"{path} cannot be written: {error.strerror}. The report there is not whole: make room "
            "or name another folder, and write it again; the runs are as they were."
        ) from error
