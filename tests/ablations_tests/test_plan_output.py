"""`ablate plan` as it is typed: what it can show, and what it costs."""

from __future__ import annotations

import json
import re
import sys

import pytest

from ablations.cli import main
from ablations.cost_words import duration
from studies.pace import Pace
from tests.ablations_tests.test_cost import Stage
from tests.ablations_tests.tiny_studies import write_study

SEARCH = {
    "kind": "tune",
    "ranges": {"training.learning_rate": {"low": 1e-3, "high": 1e-1}},
    "trials": 6,
    "seeds": 2,
}


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_a_plan_says_what_it_can_detect(finished, capsys):
    command = ["plan", str(finished.file), "--home", str(finished.home)]
    assert main([*command, "--detect", "0.01"]) == 0
    output = capsys.readouterr().out
    assert "detectable with 2 seeds (paired t test, 95 % confidence, 80 % power): 12 SD" in output
    assert "runs of this study in" in output
    assert re.search(r"to detect 0.01 nats/token takes (more than )?\d+ seeds\n", output)


def test_a_plan_with_its_cost_rehearses_once_and_remembers(home, capsys, monkeypatch):
    file = str(write_study(home))
    command = ["plan", file, "--home", str(home), "--cost", "--workers", "3"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert re.search(r"\nreport +4 +[\d.e-]+\n", first)
    assert "search" not in first
    assert re.search(r"in all 4 runs: [\d.e-]+ core-hours on 3 cores \([\d.]+ s\)", first)
    paces = [Pace.model_validate_json(path.read_text()) for path in home.glob("cache/paces/*")]
    lengths = sorted({pace.run_s: duration(pace.run_s) for pace in paces}.items())
    shortest, longest = lengths[0][1], lengths[-1][1]
    if shortest == longest:
        assert f"\na run takes {shortest}\n" in first
    else:
        name = r"\((layer|rms)\)"
        assert re.search(rf"a run takes {shortest} {name} to {longest} {name}", first)
    assert "assumed: no run diverges" in first
    assert "slow each other down as 2 rehearsing at once did" in first

    monkeypatch.setattr("ablations.paces.rehearse_side_by_side", None)
    assert main(command) == 0
    again = capsys.readouterr().out
    assert "2 paces are still as they were when measured earlier" in again
    assert first.split("a run takes")[1].split("assumed")[0] in again
    assert not (home / "tiny").exists()


def test_the_cost_of_a_search_counts_what_will_come(home, capsys, monkeypatch):
    Stage().set(monkeypatch)
    file = str(write_study(home, protocol={"search": SEARCH}))
    assert main(["plan", file, "--home", str(home), "--cost"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert re.search(r"search 24 [\d.]+ report 8 [\d.]+ a run takes", output)
    assert "in all 32 runs" in output
    assert "no search is extended; up to 8 runs come on top" in output
    assert "no search chooses the shared values" in output


def test_a_finished_study_costs_nothing(finished, capsys):
    command = ["plan", str(finished.file), "--home", str(finished.home), "--cost"]
    assert main(command) == 0
    assert "nothing to run: every run has ended" in capsys.readouterr().out


def test_a_study_that_cannot_be_rehearsed_has_no_cost(home, capsys, monkeypatch):
    Stage(broken=tuple(Stage.lengths)).set(monkeypatch)
    assert main(["plan", str(write_study(home)), "--home", str(home), "--cost"]) == 2
    error = capsys.readouterr().err
    assert "no run of study 'tiny' can be rehearsed" in error
    assert "RuntimeError: gelu is broken" in error


def test_json_is_the_plan_alone(home, capsys):
    command = ["plan", str(write_study(home)), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["study"]["name"] == "tiny"
    assert main([*command, "--detect", "0.1"]) == 2
    assert "--json prints the plan alone" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--cost"])


@pytest.mark.parametrize(
    "options",
    [["plan", "--detect", "0"], ["plan", "--detect", "nan"], ["run", "--budget-hours", "-1"]],
)
def test_numbers_out_of_range_are_refused(options, capsys):
    command, *rest = options
    with pytest.raises(SystemExit, match="2"):
        main([command, "quickstart", *rest])
    assert "is not a number" in capsys.readouterr().err


def test_statistics_are_imported_for_plans_alone(home):
    import subprocess

    code = (
        "import sys; from ablations.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit(0 if 'scipy' not in sys.modules else 1)"
    )
    for arguments in (["--help"], ["list"], ["plan", "quickstart", "--json"]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=home, timeout=60)
