import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from reports.build import ReportFiles, ReportOptions, _remove_stale, build_report
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from studies.errors import AblationError
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic, grid_study, write_study
from tests.tex import run_tex

HOSTILE = "<script>alert(1)</script> a_b & 5% $x^2$ #{~}\\"


@pytest.fixture(scope="module")
def report(grid: StudyResults, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    return build_report(grid, tmp_path_factory.mktemp("report"), ReportOptions(formats=("pdf",)))


def compile_tex(files: ReportFiles, tmp_path: Path) -> Path:
    folder = shutil.copytree(files.tex.parent, tmp_path / "tex")
    done = run_tex(folder, "report")
    assert done.returncode == 0, done.stdout[-3000:]
    return folder / "report.pdf"


def test_every_file_is_there_and_in_the_manifest(report: ReportFiles) -> None:
    root = report.html.parent
    manifest = json.loads(report.manifest.read_text())
    present = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert present == {*manifest["files"], "manifest.json"}
    for name in ("tables/main.tex", "tables/main.csv", "figures/gradient_norm_block_by_step.pdf"):
        assert name in present
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((root / name).read_bytes()).hexdigest() == digest
    assert len(manifest["runs"]) == 56
    assert manifest["provenance"]["git.commit"] == {"0123abcd": 53}


def test_the_page_is_self_contained_small_and_says_that_it_is_partial(report: ReportFiles) -> None:
    html = report.html.read_text()
    assert len(html) < 5_000_000
    assert not re.search(r"""src=["'](?!data:)|<link|@import""", html)
    beside = {link for link in re.findall(r'href="([^#"][^"]*)"', html) if "data:" not in link}
    assert beside <= {
        str(p.relative_to(report.html.parent)) for p in (*report.tables, *report.figures)
    }
    assert not re.search(r"url\((?!#)", html)
    assert "52 of 56 runs finished; 1 failed, 3 missing" in html
    assert "Partial report" in html
    assert html.count('<svg class="bar') > 10
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_each_caption_counts_the_runs(report: ReportFiles) -> None:
    html, tex = report.html.read_text(), report.tex.read_text()
    counts = "Runs: 56 planned, 48 completed, 4 diverged, 1 failed, 3 missing."
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    figures = [
        f
        for s in json.loads(report.manifest.read_text())["sections"].values()
        for f in s["figures"]
    ]
    assert len(captions) == len(figures) > 12
    assert all(counts in caption for caption in captions)
    texts = [p.read_text() for p in report.figures if p.suffix == ".tex"]
    assert len(texts) == tex.count(r"\input{figures/") == len(captions)
    assert all(counts in text for text in texts)


def test_the_document_compiles(report: ReportFiles, tmp_path: Path) -> None:
    assert compile_tex(report, tmp_path).stat().st_size > 10_000
    tex = report.tex.read_text()
    listed = set(re.findall(r"\\bibitem\[.*\]\{(\w+)\}", tex))
    files = (*report.tables, *report.figures)
    texts = [tex, *(path.read_text() for path in files if path.suffix == ".tex")]
    cited = {key for text in texts for keys in re.findall(r"\\citep\{(.*?)\}", text)
             for key in keys.split(",")}  # fmt: skip
    assert listed == cited
    assert {"clopper1934use", "vaswani2017attention"} <= cited


def test_figure_data_lies_beside_the_figure(report: ReportFiles) -> None:
    data = pd.read_csv(report.html.parent / "figures/learning_curves.csv")
    assert set(data["outcome"]) == {"completed", "diverged"}
    assert data.groupby(["variant", "seed"]).ngroups == 52


def test_the_same_results_give_the_same_bytes(small: StudyResults, tmp_path: Path) -> None:
    options = ReportOptions(formats=("pdf", "png"))
    first, second = (build_report(small, tmp_path / name, options) for name in "ab")
    assert first.manifest.read_bytes() == second.manifest.read_bytes()
    assert "Partial report" not in first.html.read_text()


def test_a_study_that_has_not_begun_has_a_report(tmp_path: Path) -> None:
    plan = grid_study((0, 1), {"model.activation": ("relu", "gelu")}, report={})
    fates = {(run.variant, run.seed): Outcome.MISSING for run in plan.runs}
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(fates)))
    files = build_report(results, tmp_path / "report", ReportOptions(venue="icml"))
    html = files.html.read_text()
    assert "0 of 4 runs finished; 4 missing" in html
    assert "No variant can be ranked yet." in html
    assert "No map of gradient_norm (report.layer_maps)" in html
    labels = compile_tex(files, tmp_path).with_suffix(".aux").read_text()
    assert r"\begin{table*}" in (files.tex.parent / "tables/main.tex").read_text()
    assert r"\newlabel{tab:main}" in labels, "a table over two columns is in the document"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    plan = grid_study(
        (0, 1), {"data.corpus": (HOSTILE, "plain")}, report={}, question=f"Why {HOSTILE}?"
    )
    bad = plan.cells[0].variant
    synthetic = Synthetic({(bad, 1): Outcome.FAILED}, errors={bad: HOSTILE})
    files = build_report(
        load_study(write_study(tmp_path / "study", plan, synthetic)), tmp_path / "report"
    )
    html = files.html.read_text()
    assert html.count("<script>") == 1  # the page's own
    assert "&lt;script&gt;alert(1)" in html
    compile_tex(files, tmp_path)


def test_building_a_report_imports_no_trainer_queue_or_tracker() -> None:
    code = "import sys, reports.build; print({'torch', 'optuna', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_tables_that_only_an_earlier_report_had_are_removed(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for name in ("main.csv", "unfinished_runs.csv", "my_notes.txt"):
        (tmp_path / "tables" / name).write_text("x")
    listed = dict.fromkeys(("tables/main.csv", "tables/unfinished_runs.csv", "report.html"), "")
    (tmp_path / "manifest.json").write_text(json.dumps({"files": listed}))
    _remove_stale(tmp_path, {"tables/main.csv": b"new"})
    left = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert left == ["main.csv", "my_notes.txt"]


def test_a_file_that_cannot_be_written_is_named_and_leaves_no_half(
    small: StudyResults, tmp_path: Path, undrawn: None
) -> None:
    blocked = tmp_path / "report.html"
    blocked.mkdir()
    with pytest.raises(AblationError, match=r"report\.html cannot be written: Is a directory"):
        build_report(small, tmp_path)
    assert not list(tmp_path.rglob(".*.tmp"))
    blocked.rmdir()
    build_report(small, tmp_path)
