"""`ablate report`: what to report of a study or of several, and from where it is read."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.console import Console

from ablations.option_values import is_study_file, study_directory, tracking_uri
from ablations.run_directory import joined_report_path
from ablations.tracking_errors import reason
from ablations.tracking_store import SERVERS, require_store
from ablations.typed_commands import DEFAULT_UI, typed
from reports.figures.venues import DEFAULT_VENUE, VENUES
from studies.errors import AblationError
from studies.loading import load_study
from studies.plan import Plan

if TYPE_CHECKING:
    from reports.links import Links, RunLinks
    from reports.results.frame import StudyResults
    from reports.results.joined import JoinedResults

REASON_LETTERS = 140
"""Of the reason why runs are not linked, which has a line."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `ablate report` alone."""
    parser.add_argument(
        "--output",
        type=Path,
        help="folder (default: HOME/STUDY/report, of several studies HOME/joined/STUDY+STUDY)",
    )
    parser.add_argument(
        "--from-tracking", action="store_true", help="read MLflow and not the run directories"
    )
    parser.add_argument(
        "--ui-url",
        metavar="URL",
        help="address of the MLflow UI that runs are linked to (default: the tracking URI where it "
        f"begins with http, else {DEFAULT_UI}, where `ablate ui` serves)",
    )
    parser.add_argument(
        "--venue",
        default=DEFAULT_VENUE,
        help=f"whose text and column widths figures and tables have: {', '.join(VENUES)} "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--formats",
        type=_names,
        metavar="LIST",
        help="of the figures: any of pdf,svg,png,pgf (default: all; pgf where a TeX is installed)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="write nothing: make the report again and say what differs from the one that is there",
    )
    parser.add_argument(
        "--no-log", action="store_true", help="do not make the report an artifact in MLflow"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _as_the_file_says(stored: Plan, options: argparse.Namespace) -> Plan:
    """The plan that was run, with the section `report` of the study file as it is now."""
    from studies.planning import make_plan
    from studies.search import take_up

    settings = [f"{key}={json.dumps(value)}" for key, value in stored.overrides.items()]
    current = take_up(make_plan(load_study(options.study, settings).study), stored)
    reported = stored.reported_as(current)
    if reported is None:
        new, old = (len(a.run_keys - b.run_keys) for a, b in ((current, stored), (stored, current)))
        again = typed("run", argparse.Namespace(**vars(options), set=settings))
        print(
            f"ablate: {options.study} is not what was run ({new} runs to add, {old} no longer in it"
            "): the report goes by the stored plan and its section `report`; "
            f"`{again}` brings the study up to date",
            file=sys.stderr,
        )
    return reported or stored


def _links(results: StudyResults, options: argparse.Namespace) -> RunLinks | None:
    """Where runs are in the MLflow UI; a store that is away costs the links, and a line."""
    from reports.links import ui_address

    uri, study = tracking_uri(options), results.plan.study.name
    served = uri if uri.startswith(SERVERS) else DEFAULT_UI
    address = ui_address(options.ui_url or served)
    try:
        require_store(uri)
        from reports.results.mlflow_source import link_runs

        links = link_runs(uri, study, address)
        words = f"it has no experiment {study!r}"
    except Exception as error:
        links, words = None, reason(error)
    if links is None:
        print(f"links:     none to MLflow: {shorten(words, REASON_LETTERS, placeholder=' ...')}")
    return links


def report(options: argparse.Namespace) -> int:
    """Write the report of a study or of several, or verify the one that is there."""
    from reports.build import ReportOptions, build_report

    each = [argparse.Namespace(**{**vars(options), "study": name}) for name in options.studies]
    results, output = _asked(each, options)
    if options.verify:
        return _verify(results, output)
    _require_writable(output)
    links, pages = _addresses(results, each, output)
    chosen = ReportOptions(options.venue, options.formats, links, pages, workers=_processors())
    with Console(stderr=True).status("collecting numbers and drawing figures"):
        files = build_report(results, output, chosen)
    for line in _partial(results):
        print(line)
    print(f"report:    {files.html}")
    print(f"paper:     {files.tex}, tables/, figures/, numbers.tex beside it")
    if not options.no_log:
        _log(files.manifest, results, each)
    for one in each:
        print(f"MLflow UI: {typed('ui', one)}")
    return 0


def _partial(results: StudyResults | JoinedResults) -> Iterator[str]:
    """A line for each study that has not ended, and how far it is."""
    from reports.overview import is_partial
    from reports.results.joined import JoinedResults
    from reports.words import progress_text

    studies = results.studies if isinstance(results, JoinedResults) else (results,)
    for study in studies:
        if is_partial(study):
            searching = not study.plan.is_settled
            progress = progress_text(study.outcomes(), searching=searching)
            yield f"partial:   {f'{study.name}: ' if len(studies) > 1 else ''}{progress}"


def _require_writable(output: Path) -> None:
    """Refuse a folder that cannot be written before minutes are spent on what goes into it.

    Raises:
        AblationError: it is no folder, or nothing can be written there.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise AblationError(
            f"the report cannot be written to {output}: {error.strerror}. "
            "Name a folder that can be written with --output."
        ) from error


def _asked(
    each: Sequence[argparse.Namespace], options: argparse.Namespace
) -> tuple[StudyResults | JoinedResults, Path]:
    """What is known of the studies that are named, and the folder of their report."""
    from reports.results.joined import join_results

    if len(each) == 1:
        return _results(each[0]), options.output or study_directory(each[0]).report_path
    joined = join_results([_results(one) for one in each])
    return joined, options.output or joined_report_path(options.home, joined.name)


def _addresses(
    results: StudyResults | JoinedResults, each: Sequence[argparse.Namespace], output: Path
) -> tuple[Links | None, dict[str, str]]:
    """Where the runs are in the MLflow UI; of several studies also their own reports, if there."""
    from reports.links import JoinedLinks
    from reports.results.joined import JoinedResults

    if not isinstance(results, JoinedResults):
        return _links(results, each[0]), {}
    found = {
        one.name: _links(one, options) for one, options in zip(results.studies, each, strict=True)
    }
    known = {name: links for name, links in found.items() if links is not None}
    pages = {}
    for name, options in zip(results.names, each, strict=True):
        page = study_directory(options).report_path / "report.html"
        if page.is_file():
            pages[name] = quote(Path(os.path.relpath(page, output.resolve())).as_posix())
    return JoinedLinks(known) if known else None, pages


def _results(options: argparse.Namespace) -> StudyResults:
    """What is known of a study, from its directory or from MLflow."""
    from reports.results.sources import load_study as load_results

    directory = study_directory(options)
    if options.from_tracking:
        from ablations.tracking_errors import explaining
        from reports.results.mlflow_source import load_tracked_study

        uri = tracking_uri(options)
        require_store(uri)
        with explaining(uri):
            results = load_tracked_study(uri, directory.study)
    else:
        directory.load_plan()
        results = load_results(directory.path)
    if is_study_file(options.study):
        results = replace(results, plan=_as_the_file_says(results.plan, options))
    return results


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _verify(results: StudyResults | JoinedResults, output: Path) -> int:
    """Say what a report no longer says, if anything; 1 if so."""
    from reports.verify import verify_report

    with Console(stderr=True).status("making the report again"):
        found = verify_report(results, output, workers=_processors())
    for change in found.changes:
        print(change)
    if found.unchecked:
        print(f"not verified, for want of a TeX: {len(found.unchecked)} files in figures/pgf")
    if found.redrawn:
        print(
            f"{len(found.redrawn)} files say the same and were written by other versions of the "
            f"software: {', '.join(found.redrawn)}"
        )
    if found.holds:
        print(f"verified:  {found.files} files from {found.runs} runs are as they were")
        return 0
    count = len(found.changes)
    print(
        f"{count} {'difference' if count == 1 else 'differences'}: "
        f"the report in {output} is not what its runs say now"
    )
    return 1


def _log(
    manifest: Path, results: StudyResults | JoinedResults, each: Sequence[argparse.Namespace]
) -> None:
    """Make the report an artifact of the run of each of its studies; a store away costs a line."""
    from reports.results.joined import JoinedResults

    is_joined = isinstance(results, JoinedResults)
    names = results.names if isinstance(results, JoinedResults) else (results.name,)
    for study, options in zip(names, each, strict=True):
        uri = tracking_uri(options)
        try:
            require_store(uri)
            from ablations.tracking import Tracking
            from ablations.tracking_report import FOLDER, JOINED_FOLDER, log_report

            folder = f"{JOINED_FOLDER}/{results.name}" if is_joined else FOLDER
            run = log_report(Tracking(uri), study, manifest, folder)
        except Exception as error:
            print(f"logged:    not to MLflow: {reason(error)}")
        else:
            of = f"run of {study}," if is_joined else "study's run"
            print(f"logged:    artifact {folder}/ of the {of} {run.info.run_id}")
