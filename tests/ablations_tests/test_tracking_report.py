"""The report among the artifacts of the study's run, by the command and by what it calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow.entities import Run

from ablations.cli import main
from ablations.tracking import NOTE, Tracking
from ablations.tracking_report import DIGEST, log_report
from ablations.tracking_store import default_tracking_uri
from studies.errors import AblationError
from tests.finished_study import FinishedStudy, finished, run_study

__all__ = ["finished"]

pytestmark = pytest.mark.usefixtures("undrawn")


def report(study: FinishedStudy, output: Path, *options: str) -> int:
    home = study.directory.path.parent
    arguments = ["--home", str(home), "--output", str(output), "--formats", "pdf", *options]
    return main(["report", study.plan.study.name, *arguments])


def logged(study: FinishedStudy, folder: str) -> set[str]:
    run_id = study_run(study).info.run_id
    return {item.path for item in Tracking(study.uri).client.list_artifacts(run_id, folder)}


def study_run(study: FinishedStudy) -> Run:
    tracking = Tracking(study.uri)
    experiment = tracking.client.get_experiment_by_name(study.plan.study.name)
    assert experiment is not None
    (run,) = tracking.client.search_runs([experiment.experiment_id], "tags.kind = 'study'")
    return run


def noted(study: FinishedStudy) -> str:
    return study_run(study).data.tags[NOTE]


def test_the_report_and_nothing_else_of_its_folder_is_logged_and_verified(
    finished: FinishedStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert report(finished, tmp_path) == 0
    assert "logged:    artifact report/ of the study's run" in capsys.readouterr().out
    files = logged(finished, "report")
    assert {"report/report.html", "report/manifest.json", "report/numbers.tex"} < files
    assert "report/notes.txt" not in files
    assert "`report/report.html`" in noted(finished)
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


def test_a_report_takes_the_place_of_an_earlier_one_as_a_whole(
    finished: FinishedStudy, tmp_path: Path
) -> None:
    assert report(finished, tmp_path, "--no-log") == 0
    tracking, manifest = Tracking(finished.uri), tmp_path / "manifest.json"
    listed = json.loads(manifest.read_text())
    (tmp_path / "figures/earlier.pdf").write_bytes(b"%PDF")
    earlier = listed | {"files": {**listed["files"], "figures/earlier.pdf": ""}}
    for content in (earlier, listed):
        manifest.write_text(json.dumps(content))
        log_report(tracking, finished.plan.study.name, manifest)
        has_it = "report/figures/earlier.pdf" in logged(finished, "report/figures")
        assert has_it == (content is earlier)
    assert "report/report.html" in logged(finished, "report")


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


def test_a_report_of_two_studies_is_logged_to_both_and_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    uri = default_tracking_uri(home)
    studies = [run_study(home, uri, name) for name in ("gating", "gating-again")]
    command = ["report", "gating", "gating-again", "--home", str(home), "--formats", "pdf"]
    assert main(["report", "gating", "--home", str(home), "--formats", "pdf", "--no-log"]) == 0
    capsys.readouterr()
    assert main(command) == 0
    said = capsys.readouterr().out
    folder = home / "joined" / "gating+gating-again"
    assert f"report:    {folder / 'report.html'}" in said
    for study in studies:
        name = study.plan.study.name
        assert f"logged:    artifact report-joined/{folder.name}/ of the run of {name}, " in said
        assert f"ablate ui {name} " in said
        files = logged(study, f"report-joined/{folder.name}")
        assert f"report-joined/{folder.name}/manifest.json" in files
        assert logged(study, "report") == set()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["options"]["pages"] == {"gating": "../../gating/report/report.html"}
    assert all(run["mlflow_run_id"] for run in manifest["runs"])
    assert len({run["mlflow_run_id"] for run in manifest["runs"]}) == 8
    assert '"../../gating/report/report.html"' in (folder / "report.html").read_text()

    assert main([*command, "--verify"]) == 0
    assert "files from 8 runs are as they were" in capsys.readouterr().out
    tracked = [*command, "--from-tracking", "--output", str(tmp_path / "tracked"), "--no-log"]
    assert main(tracked) == 0
    table = "tables/shared.csv"
    assert (tmp_path / "tracked" / table).read_text() == (folder / table).read_text()


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["gating", "gating"], "'gating' is named 2 times"),
        (["gating", "nothing"], "no runs of study 'nothing'"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    finished: FinishedStudy,
    names: list[str],
    error: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = finished.directory.path.parent
    assert main(["report", *names, "--home", str(home)]) == 2
    assert error in capsys.readouterr().err
    assert not (home / "joined").exists()
