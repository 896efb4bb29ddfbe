from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ablations.cli import _parser
from ablations.typed_commands import DEFAULT_HOME, typed

NEXT = ("run", "worker", "status", "cancel", "sync", "report", "ui")
STUDY_FILE = "/my studies/tiny.yaml"


@pytest.fixture(autouse=True)
def on_path(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/opt/venv/bin/python"])


def given(*words: str):
    return _parser().parse_args(list(words))


def again(line: str):
    """The options of a command as it is typed."""
    program, *words = shlex.split(line)
    assert program == "ablate"
    return given(*words)


@pytest.mark.parametrize("name", NEXT)
def test_what_a_run_was_given_goes_on_to_each_next_command_that_has_it(name):
    options = given(
        *(
            "run",
            STUDY_FILE,
            "--home",
            "/shared/my runs",
            "--profile",
            "lab",
            "--launcher",
            "slurm",
        ),
        *("--storage", "postgresql://ablate@db/ablations", "--tracking-uri", "http://mlflow:5000"),
    )
    parsed = again(typed(name, options))
    assert parsed.home == Path("/shared/my runs")
    assert (parsed.studies if name == "report" else [parsed.study]) == [STUDY_FILE]
    for option in ("profile", "launcher", "storage", "tracking_uri"):
        if hasattr(parsed, option):
            assert getattr(parsed, option) == getattr(options, option), option


def test_what_is_usual_is_not_typed():
    for name in NEXT:
        assert typed(name, given("run", "quickstart")) == f"ablate {name} quickstart"
    assert given("run", "quickstart").home == DEFAULT_HOME


def test_settings_go_on_to_run_and_their_name_to_the_others():
    options = given("run", STUDY_FILE, "--set", "name=longer", "--set", "training.max_steps=9")
    assert again(typed("run", options)).set == ["name=longer", "training.max_steps=9"]
    assert again(typed("status", options)).study == "longer"
    assert again(typed("cancel", options)).study == "longer"


def test_following_and_stopping_are_typed_alike_from_a_proxy():
    options = given("run", "quickstart", "--storage", "grpc://10.0.0.5:13000")
    for name in ("status", "cancel"):
        assert typed(name, options) == f"ablate {name} quickstart --storage grpc://10.0.0.5:13000"


def test_a_program_that_is_not_on_the_path_is_typed_as_it_was(monkeypatch, tmp_path):
    program = f"{tmp_path}/my venv/ablate"
    monkeypatch.setattr("sys.argv", [program])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shlex.split(typed("status", given("run", "quickstart"))) == [
        program,
        "status",
        "quickstart",
    ]
