"""Asking before a study is started: who is asked, when, and what is left behind."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from ablations.cli import main
from ablations.spending import DEFAULT_BUDGET_HOURS, Terms, agree
from studies.errors import AblationError
from tests.ablations_tests.test_cost import ACTIVATIONS, Stage
from tests.ablations_tests.tiny_studies import STUDY, write_study
from tests.studies_tests.helpers import plan_of

QUESTION = "some takes about 0.034 core-hours on 2 cores (65 s); go on? [y/N] "


@pytest.fixture(autouse=True)
def no_gpus_and_no_budget(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("ABLATE_BUDGET_HOURS", raising=False)


@pytest.fixture
def stage(monkeypatch) -> Stage:
    """Runs of 10, 20 and 30 s: two seeds of each are 2 minutes, or 0.033 hours."""
    return Stage().set(monkeypatch)


@pytest.fixture
def terminal(monkeypatch):
    """Somebody at a terminal, who gives the answer that is put there; `asked` has the questions."""

    class Terminal:
        answer: str | type[BaseException] = ""
        asked: list[str] = []  # noqa: RUF012

        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    terminal.asked = []

    def reply(question: str) -> str:
        terminal.asked.append(question)
        if isinstance(terminal.answer, str):
            return terminal.answer
        raise terminal.answer

    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr("builtins.input", reply)
    return terminal


class Desk:
    """A plan that may be started, and what is said about it."""

    def __init__(self, home) -> None:
        self.home, self.said = home, io.StringIO()
        self.plan = plan_of(factors=ACTIVATIONS, seeds=2)

    def agrees(self, **terms) -> bool:
        console = Console(file=self.said, width=200)
        return agree(console, self.plan, self.home, Terms(workers=2, **terms))


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("answer", "starts"),
    [("y", True), ("Yes ", True), ("", False), ("n", False), ("ja", False), (EOFError, False)],
)
def test_what_costs_more_than_the_budget_is_asked(desk, stage, terminal, answer, starts):
    terminal.answer = answer
    assert desk.agrees(budget_hours=0.03) is starts
    assert terminal.asked == [QUESTION]
    assert desk.said.getvalue() == ("" if starts else "nothing was started\n")
    assert len(stage.rehearsed) == 1 + 3


def test_what_costs_less_than_the_budget_is_told(desk, stage, terminal):
    assert desk.agrees(budget_hours=0.04)
    assert desk.said.getvalue() == "some takes about 0.034 core-hours on 2 cores (65 s)\n"
    assert len(stage.rehearsed) == 1 + 3


def test_what_costs_little_is_told_from_one_rehearsal(desk, stage, terminal):
    assert desk.agrees(budget_hours=0.5)
    said = "some takes some 0.017 core-hours on 2 cores (35 s) if every run is like relu\n"
    assert desk.said.getvalue() == said
    assert len(stage.rehearsed) == 1
    assert terminal.asked == []


def test_yes_needs_no_question_and_no_more_than_one_rehearsal(desk, stage, terminal):
    assert desk.agrees(budget_hours=0.0, yes=True)
    assert terminal.asked == []
    assert len(stage.rehearsed) == 1


def test_without_a_terminal_it_is_refused_and_said_how_to_go_on(desk, stage, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(AblationError) as refusal:
        desk.agrees(budget_hours=0.03)
    words = str(refusal.value)
    assert "some takes about 0.034 core-hours on 2 cores (65 s), more than the 0.03" in words
    assert "--yes" in words
    assert "--budget-hours 1 " in words
    assert "ABLATE_BUDGET_HOURS" in words


def test_a_plan_whose_runs_have_all_ended_costs_nothing(finished, stage, terminal):
    assert agree(Console(file=io.StringIO()), finished.plan, finished.home, Terms(budget_hours=0))
    assert stage.rehearsed == []


def test_failed_runs_cost_what_they_did_where_they_are_tried_again(desk, stage, monkeypatch):
    from ablations.run_status import RunState, RunStatus

    states = [RunState.FAILED, RunState.COMPLETED, RunState.DIVERGED, RunState.RUNNING]
    statuses = {
        run.run_key: RunStatus(states[n % 4]) for n, run in enumerate(desk.plan.runs)
    }  # failed twice, completed twice, diverged once, running once
    monkeypatch.setattr("ablations.spending.statuses_of", lambda *_: statuses)
    from ablations.spending import costing_of

    def to_come(*, retry_failed):
        costing = costing_of(desk.plan, desk.home, workers=1, retry_failed=retry_failed)
        return sum(runs.count for runs in costing.expected)

    assert (to_come(retry_failed=False), to_come(retry_failed=True)) == (1, 3)


def test_what_cannot_be_rehearsed_is_left_to_pre_flight(desk, stage, terminal):
    stage.broken = tuple(stage.lengths)
    assert desk.agrees(budget_hours=0.0)
    assert desk.said.getvalue() == ""
    assert terminal.asked == []


def test_a_variant_that_cannot_be_rehearsed_is_told(desk, stage, terminal):
    stage.broken = ("swiglu",)
    assert desk.agrees(budget_hours=0.04)
    assert "swiglu could not be rehearsed, and counts as the slowest" in desk.said.getvalue()


@pytest.mark.parametrize(
    ("option", "variable", "limit"),
    [(None, None, DEFAULT_BUDGET_HOURS), (None, "12.5", 12.5), (3.0, "12.5", 3.0), (0.0, "x", 0.0)],
)
def test_the_budget_is_the_option_or_the_environment(monkeypatch, option, variable, limit):
    if variable is not None:
        monkeypatch.setenv("ABLATE_BUDGET_HOURS", variable)
    assert Terms(budget_hours=option).limit_hours == limit


@pytest.mark.parametrize("text", ["", "an hour", "-1", "nan"])
def test_an_environment_without_a_number_is_refused(monkeypatch, text):
    monkeypatch.setenv("ABLATE_BUDGET_HOURS", text)
    with pytest.raises(AblationError, match="ABLATE_BUDGET_HOURS = "):
        _ = Terms().limit_hours


@pytest.mark.parametrize("answer", ["", KeyboardInterrupt])
def test_a_study_that_is_not_agreed_to_leaves_nothing_behind(home, stage, terminal, capsys, answer):
    terminal.answer = answer
    file = write_study(home)
    before = sorted(home.iterdir())
    assert main(["run", str(file), "--home", str(home), "--budget-hours", "0"]) == 130
    assert sorted(home.iterdir()) == before
    assert len(terminal.asked) == 1
    streams = capsys.readouterr()
    assert (streams.out + streams.err).count("nothing was started" if answer == "" else
                                             "ablate: interrupted") == 1  # fmt: skip


def test_a_refused_study_leaves_nothing_behind(home, stage, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("ABLATE_BUDGET_HOURS", "0")
    before = sorted([home / "study.yaml", *home.iterdir()])
    assert main(["run", str(write_study(home)), "--home", str(home)]) == 2
    assert sorted(home.iterdir()) == before
    assert "there is no terminal to ask on" in capsys.readouterr().err


def test_a_study_that_is_agreed_to_runs(home, terminal, capsys):
    terminal.answer = "y"
    training = {**STUDY["training"], "max_steps": 3}
    file = write_study(home, training=training, seeds=1, factors={})
    command = ["run", str(file), "--home", str(home), "--workers", "1", "--budget-hours", "0"]
    assert main(command) == 0
    assert "1/1 runs ended" in capsys.readouterr().out
    assert main(command) == 0
    assert len(terminal.asked) == 1
