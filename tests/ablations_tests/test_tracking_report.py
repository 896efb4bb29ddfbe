"""The report among the artifacts of the study's run, by the command and by what it calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablations.cli import main
from ablations.tracking import Tracking
from ablations.tracking_report import DIGEST, log_report
from reports.writers.pictures import Pictures
from studies.errors import AblationError
from tests.finished_study import FinishedStudy, finished

__all__ = ["finished"]


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_all(figures: list[object], *_: object) -> list[Pictures]:
        return [Pictures({f"figures/{f.name}.pdf": b"%PDF"}, "<svg/>") for f in figures]  # type: ignore[attr-defined]

    monkeypatch.setattr("reports.build.draw_all", draw_all)


def report(study: FinishedStudy, output: Path, *options: str) -> int:
    home = study.directory.path.parent
    arguments = ["--home", str(home), "--output", str(output), "--formats", "pdf", *options]
    return main(["report", study.plan.study.name, *arguments])


def logged(study: FinishedStudy, folder: str) -> set[str]:
    tracking = Tracking(study.uri)
    experiment = tracking.client.get_experiment_by_name(study.plan.study.name)
    assert experiment is not None
    (run,) = tracking.client.search_runs([experiment.experiment_id], "tags.kind = 'study'")
    return {item.path for item in tracking.client.list_artifacts(run.info.run_id, folder)}


def test_the_report_and_nothing_else_of_its_folder_is_logged_and_verified(
    finished: FinishedStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert report(finished, tmp_path) == 0
    assert "logged:    artifact report/ of the study's run" in capsys.readouterr().out
    files = logged(finished, "report")
    assert {"report/report.html", "report/manifest.json", "report/numbers.tex"} < files
    assert "report/notes.txt" not in files
    assert "report/tables/main.csv" in logged(finished, "report/tables")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert all(run["mlflow_run_id"] for run in manifest["runs"])

    assert report(finished, tmp_path, "--verify") == 0
    assert f"{len(manifest['files'])} files from 4 runs are as they were" in capsys.readouterr().out
    (tmp_path / "numbers.tex").write_text("9.99")
    assert report(finished, tmp_path, "--verify") == 1
    said = capsys.readouterr().out
    assert "numbers.tex: the file was changed after it was written" in said
    assert "1 difference: " in said


def test_a_report_that_is_there_is_not_sent_again(
    finished: FinishedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report(finished, tmp_path, "--no-log") == 0
    tracking, manifest = Tracking(finished.uri), tmp_path / "manifest.json"
    sent: list[str] = []
    send = tracking.client.log_artifacts

    def counted(run_id: str, folder: str, path: str) -> None:
        sent.append(path)
        send(run_id, folder, path)

    monkeypatch.setattr(tracking.client, "log_artifacts", counted)
    manifest.write_text(manifest.read_text() + "\n")
    for _ in range(2):
        run = log_report(tracking, finished.plan.study.name, manifest)
    assert sent == ["report"]
    assert tracking.client.get_run(run.info.run_id).data.tags[DIGEST]


def test_a_store_without_the_study_costs_a_line(
    finished: FinishedStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(finished, tmp_path, "--tracking-uri", f"sqlite:///{tmp_path / 'no.db'}") == 0
    assert "logged:    not to MLflow: " in capsys.readouterr().out
    with pytest.raises(AblationError, match=r"`ablate sync another` sends it"):
        log_report(Tracking(finished.uri), "another", tmp_path / "manifest.json")
