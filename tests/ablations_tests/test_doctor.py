from __future__ import annotations

import json
import time

import pytest

from ablations.cli import main
from ablations.doctor import examination
from ablations.doctor.findings import ok, problem
from ablations.doctor.registry import CHECKS, Check
from studies.errors import AblationError
from studies.registry import Registry
from tests.ablations_tests.situations import marks, situation
from tests.ablations_tests.tiny_studies import queue


@pytest.fixture
def checks(monkeypatch):
    """Checks in place of the real ones."""

    def put(**rows):
        monkeypatch.setattr(examination, "CHECKS", Registry("check", rows))

    return put


def raise_(error):
    raise error


def examined(tmp_path):
    return list(examination.examine(situation(tmp_path), lambda _: None))


def test_each_check_stands_after_the_one_that_it_needs():
    names = list(CHECKS)
    for name, check in CHECKS.items():
        assert check.after is None or names.index(check.after) < names.index(name)
    groups = [check.group for check in CHECKS.values()]
    assert len(set(groups)) == sum(a != b for a, b in zip(groups, ["", *groups], strict=False))


def test_a_check_that_hangs_or_fails_does_not_end_the_others(checks, tmp_path):
    checks(
        hangs=Check("a", lambda _: time.sleep(5) or (), limit_s=0.05),
        fails=Check("a", lambda _: raise_(KeyError("x"))),
        told=Check("a", lambda _: raise_(AblationError("it is away. Start it."))),
        well=Check("a", lambda _: [ok("b", "is well")]),
    )
    found = [finding for made in examined(tmp_path) for finding in made.findings]
    assert marks(found) == ["problem", "problem", "problem", "ok"]
    assert "no answer within" in found[0].found
    assert found[1].found == "KeyError: 'x'"
    assert (found[2].found, found[2].remedy) == ("it is away", "Start it.")


def test_what_makes_no_sense_after_a_problem_is_left_out(checks, tmp_path):
    bad, well = problem("a", "is bad", "mend it"), ok("a", "is well")
    checks(
        first=Check("a", lambda _: [bad]),
        second=Check("a", lambda _: [well], after="first"),
        third=Check("a", lambda _: [well], after="second"),
        fourth=Check("a", lambda _: [well]),
    )
    assert [made.left_out for made in examined(tmp_path)] == [False, True, True, False]


def test_secrets_are_never_shown(checks, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "correct-horse")
    shown = "http://ada:battery@host and correct-horse"
    checks(first=Check("a", lambda _: [problem(shown, shown, shown)]))
    [made] = examined(tmp_path)
    assert "battery" not in str(made)
    assert "horse" not in str(made)


def test_a_study_on_this_machine_is_well(tmp_path, capsys):
    queue(tmp_path)
    (tmp_path / "study.yaml").unlink()
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["doctor", "tiny", "--home", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for words in ("file locks:", "trials had one winner", "study tiny", "torch: ", "mlflow.db"):
        assert words in said
    assert said.splitlines()[-1].startswith("no problems, ")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_problem_is_an_exit_status_of_its_own(checks, tmp_path, capsys):
    checks(
        first=Check("disk", lambda _: [problem("room", "none left", "Make room.")]),
        second=Check("disk", lambda _: [ok("room", "much")], after="first"),
    )
    assert main(["doctor", "--home", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "disk"
    assert lines[1:3] == ["problem room: none left", "        -> Make room."]
    assert lines[3] == (
        "1 problem, no warnings, 0 ok, 1 check left out until the problems are solved"
    )


def test_profile_options_and_ledger_file_say_what_is_looked_at(checks, tmp_path, monkeypatch):
    seen = []
    checks(first=Check("a", lambda here: seen.append(here) or []))
    (tmp_path / "profiles").write_text(json.dumps({"lab": {"launcher": "slurm"}}))
    monkeypatch.setenv("ABLATE_PROFILES", str(tmp_path / "profiles"))
    home = ["--home", str(tmp_path)]
    assert main(["doctor", "quickstart", "--profile", "lab", *home]) == 0
    assert seen[-1].storage == f"journal://{tmp_path}/quickstart/ledger.journal"
    assert seen[-1].is_on_cluster
    assert seen[-1].execution.accelerator == "auto"
    assert main(["doctor", "--profile", "lab", "--launcher", "local", *home]) == 0
    assert seen[-1].storage.startswith("sqlite:///")
    (tmp_path / "quickstart").mkdir()
    ledger = {"url": "postgresql://ada@db/x", "name": "quickstart-1"}
    (tmp_path / "quickstart" / "ledger.json").write_text(json.dumps(ledger))
    assert main(["doctor", "quickstart", "--storage", "grpc://node:1", *home]) == 0
    assert (seen[-1].storage, seen[-1].recorded_storage) == ("grpc://node:1", ledger["url"])
    assert seen[-1].ledger.name == "quickstart-1"
    assert main(["doctor", "--storage", "postgresql://ada:secret@db/x", *home]) == 2
    assert len(seen) == 3
    assert seen[-1].tracking_uri.endswith("mlflow.db")
