"""The table of `ablate query`: its columns and its last lines."""

from __future__ import annotations

from ablations.cli import main
from ablations.console import plain_console
from ablations.query_filter import Key
from ablations.query_table import show_runs
from ablations.stored_runs import StoredRun
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri


def test_the_table_shows_what_differs_and_says_what_does_not(query):
    answer = query('params.norm = "layer" and params.activation = "relu"', "--study", "grid")
    assert answer.lines[0].split() == ["variant", "seed", "summary/val_loss"]
    assert answer.lines[1].split() == ["relu-layer", "0", "2.102"]
    assert answer.lines[-2:] == [
        "the same in all: study grid, activation relu, norm layer, outcome completed",
        "7 runs match",
    ]


def test_a_single_run_is_shown_in_full(query):
    answer = query("params.norm = layer and params.activation = relu and params.seed = 0")
    header, row, count = answer.lines
    shown = dict(zip(header.split(), row.split(), strict=True))
    assert shown == {
        "study": "grid", "variant": "relu-layer", "seed": "0", "activation": "relu",
        "norm": "layer", "outcome": "completed", "summary/val_loss": "2.102",
    }  # fmt: skip
    assert count == "1 run matches"


def test_searched_keys_stages_and_studies_tell_runs_apart(query):
    search = query("--study", "rates", "--columns", "params.learning_rate,stage", "--sort", "stage")
    assert search.lines[0].split() == ["variant", "seed", "learning_rate", "stage"]
    table = query("--study", "rates")
    assert table.lines[0].split() == [
        "variant", "seed", "norm", "learning_rate", "stage", "column", "outcome",
        "summary/val_loss",
    ]  # fmt: skip
    both = query("params.seed = 0 and params.norm = layer").lines
    assert both[0].split()[:3] == ["study", "variant", "seed"]
    assert {line.split()[0] for line in both[1:-2]} == {"grid", "rates"}


def test_numbers_stand_with_their_points_below_each_other(capsys):
    losses, widths = (9.5, 10.25, 0.125, 1e-7), ("8", "256", "16", "1024")
    runs = [
        StoredRun({"width": width}, {"loss": loss}, {"variant": f"w{width}"}, {})
        for loss, width in zip(losses, widths, strict=True)
    ]
    show_runs(plain_console(), runs, [Key("metrics", "loss"), Key("params", "width")], [])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "  loss  width",
        " 9.5        8",
        "10.25     256",
        " 0.125     16",
        "  1e-7   1024",
    ]


def test_columns_that_are_asked_for_are_shown_though_they_are_the_same(query):
    asked = "params.d_model,val/loss,tags.outcome"
    answer = query("params.norm = layer and params.activation = relu", "--columns", asked)
    assert answer.lines[0].split() == ["variant", "seed", "d_model", "val/loss", "outcome"]
    assert len(answer.lines) == 10
    assert answer.lines[-2] == "the same in all: study grid"


def test_names_of_two_kinds_are_told_apart(query):
    answer = query("--columns", "seed,params.seed,tags.outcome,variant", "--limit", "2")
    assert answer.lines[0].split() == ["variant", "seed", "params.seed", "outcome"]


def test_a_column_that_no_run_has_is_shown_if_its_kind_is_given(query):
    answer = query("--study", "rates", "--columns", "tags.error")
    assert answer.lines[0].split() == ["variant", "seed", "error"]
    assert all(line.split()[-1] == "–" for line in answer.lines[1:9])
    assert query("--sort", "tags.error").status == 2


def test_a_study_without_a_list_of_factors_shows_params_that_differ(tmp_path, capsys):
    tracking = Tracking(default_tracking_uri(tmp_path))
    experiment = tracking.client.create_experiment("foreign")
    for run_name, width in (("wide", 16), ("narrow", 8)):
        run = tracking.client.create_run(experiment, tags={"kind": "run"}, run_name=run_name)
        for name, value in (("width", width), ("depth", 2)):
            tracking.client.log_param(run.info.run_id, name, value)
    assert main(["query", "--home", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:-1]] == [
        ["run_name", "width"],
        ["narrow", "8"],
        ["wide", "16"],
        ["the", "same", "in", "all:", "study", "foreign"],
    ]
