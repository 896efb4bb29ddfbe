"""The report of several studies as it is written, traced and verified."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from reports.build import ReportOptions, build_report, compose
from reports.figures.drawing import PAPER, draw_files, themed
from reports.links import JoinedLinks, RunLinks
from reports.results.frame import UnreadableResults
from reports.results.joined import JoinedResults
from reports.results.sources import load_study
from reports.sections.joined.contents import joined_sections
from reports.verify import verify_report
from studies.metrics import FINAL_LOSS
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic
from tests.reports_tests.joined_studies import CODE, joined, study, without_runs
from tests.reports_tests.searched import at_edge
from tests.tex import run_tex

PDF = ReportOptions(formats=("pdf",))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> JoinedResults:
    """Two studies of six cells, with seeds that did not complete."""
    folder = tmp_path_factory.mktemp("both")
    lost = Synthetic({("relu-rms", 1): Outcome.DIVERGED, ("gelu-rms", 2): Outcome.FAILED})
    return joined(study(folder, "a", synthetic=lost), study(folder, "b", data=CODE))


def test_all_files_are_written_twice_alike(both: JoinedResults, tmp_path: Path) -> None:
    files = build_report(both, tmp_path, PDF)
    names = {path.relative_to(tmp_path).as_posix() for path in (*files.tables, *files.figures)}
    for table in ("studies", "protocols", "shared", "runs", "cells"):
        assert f"tables/{table}.csv" in names
        assert f"tables/{table}.md" in names
    assert {"tables/shared.tex", "tables/shared_wide.tex", "tables/studies.tex",
            "figures/shared_differences.pdf",
            "figures/shared_differences.csv"} <= names  # fmt: skip
    for name in ("report.tex", "numbers.tex", "references.bib", "methods.tex", "manifest.json"):
        assert (tmp_path / name).is_file()
    assert compose(both, PDF) == compose(both, PDF)


def test_each_number_leads_to_runs_of_its_studies(both: JoinedResults, undrawn: None) -> None:
    manifest = json.loads(compose(both, PDF)["manifest.json"])
    assert manifest["study"] == "a+b"
    assert [found["study"] for found in manifest["studies"]] == ["a", "b"]
    runs = manifest["runs"]
    assert len(runs) == 48
    rows = manifest["sections"]["shared-cells"]["tables"]["shared"]
    traced = {(runs[i]["study"], runs[i]["variant"]) for i in rows["swiglu-rms"]}
    assert traced == {(s, v) for s in "ab" for v in ("swiglu-rms", "gelu-layer")}


def test_the_page_leads_to_studies_and_runs(both: JoinedResults, undrawn: None) -> None:
    keys = {r.name: list(r.records) for r in both.studies}
    links = JoinedLinks({n: RunLinks("http://ui", n, dict.fromkeys(keys[n], n * 32)) for n in "ab"})
    options = replace(PDF, links=links, pages={"b": "../../b/report/report.html"})
    page = compose(both, options)["report.html"].decode()
    assert '<a href="../../b/report/report.html">b</a>' in page
    assert page.count("http://ui/#/experiments/a/runs/") == len(keys["a"])
    assert page.count("http://ui/#/experiments/b/runs/") == len(keys["b"])
    assert "<title>a + b · joint report</title>" in page
    shown = re.findall(r'<a class="behind" href="#runs=\w+:[\d,-]+"[^>]*>(\d+) runs</a>', page)
    assert len(shown) > 10


def test_a_choice_at_an_edge_is_marked_in_the_panel_of_its_study(both: JoinedResults) -> None:
    first, *others = both.studies
    marked = replace(both, studies=(at_edge(first, "relu-rms"), *others))
    for results, marks in ((marked, [1, 0]), (both, [0, 0])):
        figures = [f for _, _, exhibits in joined_sections(results, {}) for f in exhibits.figures]
        forest = next(figure for figure in figures if figure.name == "shared_differences")
        with themed(PAPER):
            axes = forest.draw(PAPER).axes[:2]
        assert [[t.get_text() for t in ax.texts].count("*") for ax in axes] == marks
        assert ("* At the edge" in forest.caption) == bool(sum(marks))
        assert forest.data["at_edge"].sum() == sum(marks)


def test_a_report_is_verified_and_a_changed_run_is_named(tmp_path: Path, undrawn: None) -> None:
    first = study(tmp_path, "a", seeds=(0, 1))
    both = joined(first, study(tmp_path, "b", seeds=(0, 1), data=CODE))
    output = tmp_path / "report"
    links = JoinedLinks({"a": RunLinks("http://ui", "7", dict.fromkeys(first.records, "0123"))})
    build_report(both, output, replace(PDF, links=links, pages={"a": "../a.html"}))
    assert verify_report(both, output).holds

    runs = first.plan.runs
    key = next(r.run_key for r in runs if (r.variant, r.seed) == ("relu-rms", 0))
    record = tmp_path / "a" / "runs" / key / "record.json"
    content = json.loads(record.read_text())
    content["summary"][FINAL_LOSS] += 0.5
    content["provenance"]["git"]["commit"] = "fedcba98"
    record.write_text(json.dumps(content))
    changes = verify_report(joined(load_study(tmp_path / "a"), both.studies[1]), output).changes
    assert f"run a/{key} (relu-rms, seed 0): trained anew by commit fedcba98" in changes
    assert any(c.startswith("tables/shared.csv: relu-rms, A_difference: ") for c in changes)

    with pytest.raises(UnreadableResults, match=r"is of the study 'a\+b', not of 'b\+a'"):
        verify_report(joined(*reversed(both.studies)), output)
    with pytest.raises(UnreadableResults, match="Write it with `ablate report a b`"):
        verify_report(both, tmp_path / "nothing")


def test_a_study_that_has_not_begun_makes_a_partial_report(tmp_path: Path, undrawn: None) -> None:
    first = study(tmp_path, "a", seeds=(0, 1))
    waiting = without_runs(study(tmp_path, "b", seeds=(0, 1), data=CODE))
    for studies in ((first, waiting), (waiting, first)):
        page = compose(joined(*studies), PDF)["report.html"].decode()
        letter = "B" if studies[0] is first else "A"
        assert f"<b>Partial report.</b> {letter}: 0 of 12 runs finished; 12 missing." in page
        assert "not begun" in page
    nothing = joined(waiting, without_runs(study(tmp_path, "c", seeds=(0,))))
    assert "not begun" in compose(nothing, PDF)["tables/studies.md"].decode()


def test_runs_of_two_studies_are_said_to_be_one(tmp_path: Path, undrawn: None) -> None:
    both = joined(study(tmp_path, "a", seeds=(0, 1)), study(tmp_path, "b", seeds=(1, 2)))
    contents = compose(both, PDF)
    manifest = json.loads(contents["manifest.json"])
    said = manifest["sections"]["studies"]["sentences"]
    assert any(s.startswith("6 of 18 different planned runs are in more than one") for s in said)
    assert "18 planned, 18 completed" in contents["tables/studies.md"].decode()
    assert len(manifest["runs"]) == 24


@pytest.mark.parametrize("width_in", [3.25, 5.5, 10.6])
def test_figures_are_drawn_at_every_width(both: JoinedResults, width_in: float) -> None:
    theme = replace(PAPER, width_in=width_in)
    for _, _, exhibits in joined_sections(both, {}):
        for figure in exhibits.figures:
            first, second = (draw_files(figure.draw, theme, ["svg"]) for _ in range(2))
            assert first == second
            assert b"RMSNorm" in first["svg"]


def test_the_document_compiles(tmp_path: Path) -> None:
    studies = [
        study(tmp_path, name, seeds=(0, 1), question="50% of $x_1$ & more?", **settings)
        for name, settings in (
            ("a-first-study-of-docs", {}),
            ("another_study", {"data": CODE}),
            ("third", {"model": {"d_model": 64}, "diagnostics": {"enabled": ["gradient_norms"]}}),
        )
    ]
    output = tmp_path / "report"
    build_report(joined(*studies), output, PDF)
    found = run_tex(output, "report")
    assert found.returncode == 0, found.stdout[-2000:]
    inside = re.findall(r"\(\./tables/(\w+)\.tex(.*?)\n?\[?\)", found.stdout, re.DOTALL)
    assert {name for name, _ in inside} >= {"studies", "protocols", "shared"}
    assert [name for name, log in inside if "Overfull" in log] == []
