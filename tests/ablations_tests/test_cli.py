"""The command on a finished, a failing and an unknown study."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest

from ablations.cli import main
from ablations.run_directory import StudyDirectory
from reports.build import ReportFiles
from studies.loading import load_study
from studies.planning import make_plan
from studies.records import Outcome
from tests.ablations_tests.tiny_studies import (
    UNDISTURBED,
    fragile_runs,
    keys_of,
    numbers,
    queue,
    states,
    trials,
    work,
    write_study,
)

NO_STORE = "sqlite:////dev/null/mlflow.db"


def stored(path) -> dict[str, list[tuple]]:
    """What a tracking store holds, by names and not by its own identifiers."""
    name = "(SELECT value FROM tags n WHERE n.run_uuid = {0}.run_uuid AND n.key = 'mlflow.runName')"
    own = "('mlflow.user', 'mlflow.source.name', 'mlflow.parentRunId', 'mlflow.source.type')"
    queries = {
        "metrics": f"SELECT {name.format('m')}, key, step, value FROM metrics m",
        "params": f"SELECT {name.format('p')}, key, value FROM params p",
        "tags": f"SELECT {name.format('t')}, key, value FROM tags t WHERE key NOT IN {own}",
        "runs": f"SELECT {name.format('r')}, status FROM runs r",
    }
    connection = sqlite3.connect(path)
    found = {kind: sorted(connection.execute(query)) for kind, query in queries.items()}
    connection.close()
    return found


def test_running_a_finished_study_again_trains_nothing(finished, capsys):
    before = numbers(finished.plan, finished.directory)
    store = stored(finished.home / "mlflow.db")
    arguments = ["--home", str(finished.home), "--workers", "2"]
    assert main(["run", str(finished.file), *arguments]) == 0
    assert "4/4 runs ended, 0 diverged, 0 failed" in capsys.readouterr().out
    assert len(trials(finished.directory)) == 4
    assert len(list((finished.directory.path / "logs").iterdir())) == 2
    assert numbers(finished.plan, finished.directory) == before
    assert stored(finished.home / "mlflow.db") == store


def test_a_lost_tracking_store_is_rebuilt_from_the_run_directories(finished, tmp_path, capsys):
    home = tmp_path / "home"
    shutil.copytree(finished.home, home)
    database = home / "mlflow.db"
    before = stored(database)
    database.unlink()
    assert main(["sync", "tiny", "--home", str(home)]) == 0
    assert capsys.readouterr().out.startswith("4 runs sent to sqlite:///")
    assert stored(database) == before
    assert main(["sync", "tiny", "--home", str(home)]) == 0
    assert capsys.readouterr().out.startswith("0 runs sent to sqlite:///")
    assert stored(database) == before


def test_failed_runs_are_told_kept_and_retried_when_asked(home, capsys):
    switch = home / "switch"
    switch.touch()
    changes = fragile_runs(switch)
    plan, directory, _ = queue(home, **changes)
    work(directory, NO_STORE)
    file = str(write_study(home, **changes))
    command = ["run", file, "--home", str(home), "--workers", "1", "--tracking-uri", NO_STORE]
    assert main(command) == 1
    output = capsys.readouterr().out
    assert "2/2 runs ended, 0 diverged, 1 failed" in output
    assert "seed 1: RuntimeError: the scratch disk went away" in output
    assert "--retry-failed" in output
    assert "nothing reaches the tracking store" in output
    assert len(trials(directory)) == 2

    switch.unlink()
    assert main([*command, "--retry-failed"]) == 0
    assert states(plan, directory) == ["completed"] * 2
    assert len(trials(directory)) == 3
    records = [directory.run(key).record() for key in keys_of(plan)]
    assert [record.outcome for record in records] == [Outcome.COMPLETED] * 2


def test_ctrl_c_before_any_worker_runs_is_no_traceback(home, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ablations.driver.preflight", interrupted)
    assert main(["run", str(write_study(home)), "--home", str(home)]) == 130
    assert capsys.readouterr().err == "ablate: interrupted\n"


def test_status_counts_runs(finished, capsys):
    assert main(["status", "tiny", "--home", str(finished.home)]) == 0
    assert capsys.readouterr().out.startswith("tiny: 4/4 runs ended, 0 diverged, 0 failed")
    assert main(["status", str(finished.file), "--home", str(finished.home), "--watch"]) == 0


def test_status_of_a_running_study_names_its_runs(tmp_path, capsys):
    plan, _, ledger = queue(tmp_path)
    ledger.claim(keys_of(plan))
    assert main(["status", "tiny", "--home", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "0/4 runs ended, 0 diverged, 0 failed, 1 running" in output
    assert "running: layer seed 0, step 0/30" in output


def test_a_study_whose_ledger_was_deleted_still_answers(tmp_path, capsys):
    _, directory, _ = queue(tmp_path)
    directory.ledger_path.unlink()
    assert main(["status", "tiny", "--home", str(tmp_path)]) == 0
    assert "0/4 runs ended" in capsys.readouterr().out


def test_list_shows_shipped_studies_and_those_at_home(finished, capsys):
    assert main(["list", "--home", str(finished.home)]) == 0
    output = capsys.readouterr().out
    assert "quickstart" in output
    assert "4/4 runs ended" in output


def test_a_plan_as_json_is_the_plan(finished, capsys):
    assert main(["plan", str(finished.file), "--json", "--home", str(finished.home)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [run["run_key"] for run in printed["runs"]] == keys_of(finished.plan)


def write_reported(folder, **changes):
    report = {"baseline": {"model.norm": "rms"}, "layer_maps": ["activation_rms/hidden"]}
    asked = {"question": "Asked anew?", "report": {**report, "confidence": 0.9}}
    return str(write_study(folder, **{**UNDISTURBED, **asked, **changes}))


def test_a_report_goes_by_the_section_of_the_file(finished, tmp_path, capsys, undrawn):
    file, folder = write_reported(tmp_path), tmp_path / "report"
    assert main(["report", file, "--home", str(finished.home), "--output", str(folder)]) == 0
    assert capsys.readouterr().err == ""
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["baseline"] == "rms"
    assert "figures/activation_rms_hidden_by_step.csv" in manifest["files"]
    assert "Asked anew?" in (folder / "report.html").read_text()
    assert finished.directory.load_plan() == finished.plan


@pytest.fixture
def plan_of_report(monkeypatch):
    """The plan that a report of a file goes by; nothing is drawn."""

    def found(file, home, *arguments):
        seen = []

        def build(results, output, chosen):
            seen.append(results.plan)
            return ReportFiles(
                output / "report.html", output / "report.tex", output / "manifest.json", (), ()
            )

        monkeypatch.setattr("reports.build.build_report", build)
        assert main(["report", file, "--home", str(home), "--no-log", *arguments]) == 0
        return seen[0]

    return found


def test_a_report_from_tracking_goes_by_the_section_of_the_file(
    finished, tmp_path, plan_of_report, capsys
):
    plan = plan_of_report(write_reported(tmp_path), finished.home, "--from-tracking")
    assert capsys.readouterr().err == ""
    assert (plan.baseline, plan.study.report.confidence) == ("rms", 0.9)
    assert plan.runs == finished.plan.runs


def test_a_report_from_a_store_that_is_not_there_makes_none(finished, tmp_path, capsys):
    store = tmp_path / "none" / "x.db"
    options = ["--home", str(finished.home), "--from-tracking"]
    assert main(["report", "tiny", *options, "--tracking-uri", f"sqlite:///{store}"]) == 2
    assert "there is no tracking store x.db" in capsys.readouterr().err
    assert not store.parent.exists()


def test_a_report_of_a_changed_study_goes_by_the_stored_plan_and_says_so(
    finished, tmp_path, plan_of_report, capsys
):
    file = write_reported(tmp_path, seeds=3, factors={"model.norm": ["rms", "none"]})
    assert plan_of_report(file, finished.home) == finished.plan
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is not what was run (4 runs to add, 2 no longer in it)" in error
    assert f"`ablate run {file} --home {finished.home}` brings the study up to date" in error


def test_a_report_by_name_goes_by_the_stored_plan(finished, plan_of_report):
    assert plan_of_report("tiny", finished.home) == finished.plan


def test_a_report_reads_the_file_with_the_settings_of_the_run(home, plan_of_report, capsys):
    settings = {"seeds": 1, "training.max_steps": 20, "question": "With 'quotes' and ä?"}
    given = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    loaded = load_study(str(write_study(home)), given)
    stored = make_plan(loaded.study, loaded.overrides)
    StudyDirectory(home, "tiny").save_plan(stored, "")

    plan = plan_of_report(str(write_study(home, report={"confidence": 0.9})), home)
    assert capsys.readouterr().err == ""
    assert plan.study.report.confidence == 0.9
    assert plan.study.question == settings["question"]
    assert plan.overrides == settings

    assert plan_of_report(write_reported(home, training={"warmup_steps": 0}), home) == stored
    assert "--set seeds=1 --set training.max_steps=20 --set" in capsys.readouterr().err


def test_a_report_refuses_a_file_whose_section_is_wrong(finished, tmp_path, capsys):
    file = write_reported(tmp_path, report={"baseline": {"model.norm": "group"}})
    assert main(["report", file, "--home", str(finished.home)]) == 2
    assert "report.baseline.model.norm = 'group'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["list", "--keys"],
        ["plan", "quickstart"],
        ["plan", "quickstart", "--json"],
        ["status", "tiny"],
        ["show", "tiny/rms/0"],
        ["show", "tiny/rms/0", "--json"],
        ["sync", "tiny"],
    ],
)
def test_a_reader_who_goes_away_ends_it_quietly(finished, arguments):
    command = [sys.executable, "-m", "ablations.cli", *arguments, "--home", str(finished.home)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_what_never_comes_round_is_noted(home, capsys):
    file = str(write_study(home, diagnostics={"probe_every_steps": 90, "evaluate_every_steps": 10}))
    assert main(["plan", file]) == 0
    plan = capsys.readouterr().out
    assert "note: diagnostics.probe_every_steps = 90 is more than" in plan
    assert main(["check", file, "--home", str(home)]) == 0
    assert "note: diagnostics.probe_every_steps = 90 is more than" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "no-such-study"], "no study 'no-such-study'"),
        (["status", "quickstart"], "no runs of study 'quickstart'"),
        (["sync", "quickstart"], "no runs of study 'quickstart'"),
        (["run", "quickstart", "--set", "training.steps=3"], "training.steps"),
    ],
)
def test_mistakes_are_told_in_one_message_and_write_nothing(tmp_path, capsys, arguments, words):
    home = tmp_path / "home"
    assert main([*arguments, "--home", str(home)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ablate: ")
    assert words in error
    assert not home.exists()


@pytest.mark.parametrize("command", ["run", "check", "plan", "status", "sync", "report", "worker"])
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"example: ablate {command} quickstart" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["plan", "quickstart"]])
def test_planning_needs_no_torch(tmp_path, arguments):
    code = (
        "import sys; from ablations.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mlflow', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=tmp_path, timeout=60)
