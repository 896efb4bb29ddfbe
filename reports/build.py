"""Writes the report of a study: page, LaTeX, tables, figures with their data, and a manifest."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pandas as pd

from reports.exhibits import Exhibits
from reports.figures.drawing import PAPER, draw_files, inline_svg
from reports.overview import collect_overview, provenance_values
from reports.results.frame import StudyResults
from reports.sections import methods
from reports.sections.contents import SECTIONS
from reports.writers.latex import document_tex, table_tex
from reports.writers.page import page_html
from studies.run_spec import digest

FIGURE_FORMATS = ("pdf", "png")
PACKAGES = ("ablations", "jinja2", "matplotlib", "numpy", "pandas", "scipy", "seaborn")
MANIFEST_VERSION = 1


@dataclass(frozen=True)
class ReportFiles:
    """Where the report lies."""

    html: Path
    tex: Path
    manifest: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


def build_report(
    results: StudyResults, output: Path, *, figure_formats: Sequence[str] = FIGURE_FORMATS
) -> ReportFiles:
    """Write the report of a study, finished or not. The same results give the same bytes.

    Args:
        results: the plan and what is known about its runs.
        output: folder; files of an earlier report are replaced one by one, the manifest last.
        figure_formats: of the figure files; `pdf` is what `report.tex` includes.
    """
    overview = collect_overview(results)
    sections = _sections(results)
    contents: dict[str, bytes] = {}
    drawings: dict[str, str] = {}
    for _, _, exhibits in sections:
        for document in exhibits.documents:
            contents[document.name] = document.text.encode()
        for table in exhibits.tables:
            contents[f"tables/{table.name}.tex"] = table_tex(table).encode()
            contents[f"tables/{table.name}.csv"] = _csv(table.data)
        for figure in exhibits.figures:
            contents[f"figures/{figure.name}.csv"] = _csv(figure.data)
            formats = dict.fromkeys((*figure_formats, "pdf"))
            for file_format, content in draw_files(figure.draw, PAPER, formats).items():
                contents[f"figures/{figure.name}.{file_format}"] = content
            drawings[figure.name] = inline_svg(figure.draw, figure.name)
    titled = [(title, exhibits) for _, title, exhibits in sections]
    contents["report.tex"] = document_tex(overview, titled).encode()
    contents["report.html"] = page_html(overview, sections, drawings).encode()
    for name, content in contents.items():
        _write(output / name, content)
    _remove_stale(output, contents)
    _write(output / "manifest.json", _manifest(results, contents))
    return ReportFiles(
        html=output / "report.html",
        tex=output / "report.tex",
        manifest=output / "manifest.json",
        tables=tuple(output / name for name in contents if name.startswith("tables/")),
        figures=tuple(output / name for name in contents if name.startswith("figures/")),
    )


def _sections(results: StudyResults) -> list[tuple[str, str, Exhibits]]:
    """Name, title and exhibits of each section that has something to say."""
    found = []
    for name, section in SECTIONS.items():
        exhibits = section.exhibits(results)
        if exhibits is not None:
            found.append((name, section.title, exhibits))
    whole = methods.methods_exhibits(results, [exhibits for _, _, exhibits in found])
    return [*found, (methods.NAME, methods.TITLE, whole)]


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()


def _manifest(results: StudyResults, contents: Mapping[str, bytes]) -> bytes:
    """What the report was made of, and digests of its files; no dates."""
    plan = results.plan
    manifest = {
        "manifest_version": MANIFEST_VERSION,
        "study": plan.study.name,
        "study_digest": digest(plan.study.model_dump(mode="json")),
        "baseline": plan.baseline,
        "registration_digest": results.registration.digest if results.registration else None,
        "runs": results.runs[["run_key", "variant", "seed", "outcome"]].to_dict("records"),
        "provenance": provenance_values(results),
        "report_versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in PACKAGES},
        },
        "files": {
            name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())
        },
    }
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


def _remove_stale(output: Path, contents: Mapping[str, bytes]) -> None:
    """Remove the tables and figures that an earlier report had and this one has not."""
    manifest = output / "manifest.json"
    if manifest.exists():
        for name in json.loads(manifest.read_text(encoding="utf-8"))["files"]:
            if name not in contents and name.startswith(("tables/", "figures/")):
                (output / name).unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename, so that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
