"""What a study said before its first run, written once, by `ablate run`."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from ablations.cli import main
from ablations.provenance import git_state
from ablations.registering import read_registration, register_once
from ablations.run_directory import StudyDirectory
from reports.results.sources import load_study
from studies.errors import AblationError
from tests.ablations_tests.tiny_studies import UNDISTURBED, keys_of, queue, write_study

RMS_HELPS = {
    "claim": "RMSNorm does better",
    "of": {"model.norm": "rms"},
    "against": {"model.norm": "layer"},
    "direction": "lower",
}


@pytest.fixture
def finished_copy(finished, tmp_path):
    """A home folder with the finished study, to be changed."""
    return shutil.copytree(finished.home, tmp_path / "home", symlinks=True)


def run_again(home, **changes):
    file = write_study(home, **{**UNDISTURBED, **changes})
    assert main(["run", str(file), "--home", str(home)]) == 0
    return StudyDirectory(home, "tiny")


def test_the_first_run_registers_before_anything_is_trained(finished):
    assert "registered: 0 hypotheses: every comparison is exploratory" in finished.output
    registration = read_registration(finished.directory)
    assert not registration.after_first_runs
    assert registration.git.model_dump() == git_state()
    assert registration.is_intact
    runs = finished.directory.path.glob("runs/*/record.json")
    assert finished.directory.registration_path.stat().st_mtime < min(
        path.stat().st_mtime for path in runs
    )


def test_a_later_run_leaves_it_alone_and_says_on_one_line_what_differs(finished_copy, capsys):
    path = StudyDirectory(finished_copy, "tiny").registration_path
    before = path.read_bytes()
    many = {f"rms-helps-{'x' * 60}": RMS_HELPS}
    directory = run_again(finished_copy, hypotheses=many, report={"confidence": 0.9})
    [line] = [li for li in capsys.readouterr().out.splitlines() if li.startswith("not as reg")]
    assert line.endswith(f"report.confidence: 0.95 → 0.9; hypothesis {next(iter(many))} added")
    assert path.read_bytes() == before
    assert load_study(directory.path).registration == read_registration(directory)

    run_again(finished_copy)
    assert "not as registered" not in capsys.readouterr().out


def test_a_study_that_has_runs_is_registered_after_them(finished_copy, capsys):
    StudyDirectory(finished_copy, "tiny").registration_path.unlink()
    directory = run_again(finished_copy, hypotheses={"rms-helps": RMS_HELPS})
    assert "registered: 1 hypothesis, after the first runs" in capsys.readouterr().out
    assert read_registration(directory).after_first_runs


def test_a_plan_without_any_run_is_not_a_first_run(tmp_path):
    plan, directory, _ = queue(tmp_path, hypotheses={"rms-helps": RMS_HELPS})
    assert register_once(plan, directory) == "registered: 1 hypothesis"
    assert not read_registration(directory).after_first_runs
    directory.run(keys_of(plan)[0]).attempt(0).start()
    assert register_once(plan, directory) == ""
    assert not read_registration(directory).after_first_runs


def test_only_one_of_two_runs_at_once_registers(tmp_path):
    plan, directory, _ = queue(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        lines = list(pool.map(lambda _: register_once(plan, directory), range(4)))
    assert sorted(bool(line) for line in lines) == [False, False, False, True]


def test_a_registration_that_cannot_be_read_is_not_written_over(tmp_path):
    plan, directory, _ = queue(tmp_path)
    directory.registration_path.write_text("{}")
    with pytest.raises(AblationError, match=r"is no registration: study: .*Restore it"):
        register_once(plan, directory)
    assert directory.registration_path.read_text() == "{}"


def test_a_plan_lists_hypotheses_with_their_cells(tmp_path, capsys):
    file = write_study(tmp_path, hypotheses={"rms-helps": RMS_HELPS})
    assert main(["plan", str(file)]) == 0
    line = "hypothesis rms-helps: 1 cell against 1, lower: RMSNorm does better"
    assert line in capsys.readouterr().out.splitlines()


def test_a_report_of_a_file_tests_the_hypotheses_that_it_has_now(
    finished_copy, tmp_path, capsys, undrawn
):
    file = write_study(tmp_path, **UNDISTURBED, hypotheses={"rms-helps": RMS_HELPS})
    for options in ([], ["--from-tracking"]):
        folder = tmp_path / "report"
        command = ["report", str(file), "--home", str(finished_copy), "--output", str(folder)]
        assert main([*command, *options]) == 0
        assert capsys.readouterr().err == ""
        [_, row] = (folder / "tables" / "hypotheses.csv").read_text().splitlines()
        assert row.startswith(
            "rms-helps,RMSNorm does better,exploratory (added after the first run),"
        )
        shutil.rmtree(folder)
