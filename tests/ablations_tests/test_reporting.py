"""What `ablate report` links to, and what it says where there is nothing to link to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ablations.cli import main
from reports.build import ReportFiles, ReportOptions
from reports.links import RunLinks
from tests.finished_study import FinishedStudy, finished

__all__ = ["finished"]

Report = Callable[..., RunLinks | None]


@pytest.fixture
def links_of(finished: FinishedStudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Report:
    """The links that a report of the finished study gets; nothing is drawn."""

    def found(*arguments: str) -> RunLinks | None:
        seen: list[RunLinks | None] = []

        def build(results: object, output: Path, chosen: ReportOptions) -> ReportFiles:
            seen.append(chosen.links)
            paths = (output / name for name in ("report.html", "report.tex", "manifest.json"))
            return ReportFiles(*paths, (), ())

        monkeypatch.setattr("reports.build.build_report", build)
        home = str(finished.directory.path.parent)
        name = finished.plan.study.name
        where = ["--home", home, "--output", str(tmp_path), "--no-log"]
        assert main(["report", name, *where, *arguments]) == 0
        return seen[0]

    return found


def test_every_run_is_linked_where_the_ui_is_served(
    finished: FinishedStudy, links_of: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    links = links_of()
    assert links is not None
    for key in finished.plan.run_keys:
        assert re.fullmatch(
            r"http://127\.0\.0\.1:5000/#/experiments/\d+/runs/[0-9a-f]{32}", str(links.to(key))
        )
    printed = capsys.readouterr().out
    assert "links:" not in printed
    assert "partial:" not in printed


def test_a_partial_report_is_said_to_be_one(
    finished: FinishedStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, home = finished.plan.study.name, tmp_path / "home"
    shutil.copytree(finished.directory.path, home / name)
    shutil.rmtree(home / name / "runs" / min(finished.plan.run_keys))
    paths = (tmp_path / file for file in ("report.html", "report.tex", "manifest.json"))
    files = ReportFiles(*paths, (), ())
    monkeypatch.setattr("reports.build.build_report", lambda *_: files)
    output = ["--output", str(tmp_path / "out"), "--no-log"]
    assert main(["report", name, "--home", str(home), *output]) == 0
    assert "partial:   3 of 4 runs finished; 1 missing\n" in capsys.readouterr().out


def test_the_address_of_the_ui_can_be_given(links_of: Report) -> None:
    links = links_of("--ui-url", "https://me:secret@mlflow.example/team/")
    assert links is not None
    assert links.ui_url == "https://mlflow.example/team"


def test_what_is_no_address_is_refused(
    finished: FinishedStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(finished.directory.path.parent)
    arguments = ["--home", home, "--output", str(tmp_path), "--ui-url", "javascript:alert(1)"]
    assert main(["report", finished.plan.study.name, *arguments]) == 2
    assert "has to begin with http:// or https://" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        ("sqlite:///{folder}/none.db", "there is no tracking store none.db"),
        ("http://127.0.0.1:9", "Connection refused"),
    ],
    ids=["no store", "no server"],
)
def test_a_store_that_is_away_costs_the_links_and_one_line(
    store: str,
    reason: str,
    links_of: Report,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    assert links_of("--tracking-uri", store.format(folder=tmp_path)) is None
    printed = capsys.readouterr()
    assert printed.err == ""
    said = [line for line in printed.out.splitlines() if line.startswith("links:")]
    assert len(said) == 1
    assert said[0].startswith("links:     none to MLflow: ")
    assert reason in said[0]
