"""`ablate query`: what it finds, in which order, and as CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ablations.cli import main
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri
from tests.ablations_tests.tracked_grid import Store, Stored

DOCUMENTED = 'params.norm = "layer" and metrics."val/loss" < 2.13'


def below(stored: Stored, loss: float) -> bool:
    return stored.loss is not None and stored.loss < loss


def low_layer(stored: Stored) -> bool:
    return stored.norm == "layer" and below(stored, 2.13)


def names_where(store: Store, condition: Callable[[Stored], bool]) -> list[tuple[str, str]]:
    return sorted((s.study, s.run.run_key) for s in store.runs if condition(s))


@pytest.mark.parametrize(
    ("filter", "condition"),
    [
        (DOCUMENTED, low_layer),
        ("params.norm = 'layer' AND metric.`val/loss` < 2.13", low_layer),
        ("model.norm=layer and metrics.val/loss<2.13", low_layer),
        ("params.norm != 'layer' and tags.seed = '3'",
         lambda s: s.run.seed == 3 and s.norm != "layer"),
        ("params.activation LIKE '%glu' and params.seed >= 5",
         lambda s: "glu" in s.activation and s.run.seed >= 5),
        ("training.learning_rate = 0.001 and params.norm = layer",
         lambda s: s.rate == 1e-3 and s.norm == "layer"),
        ("params.learning_rate < 1e-3", lambda s: s.rate < 1e-3),
        ("params.learning_rate = '1e-05'", lambda s: s.rate == 1e-5),
        ("tags.seed > 5 and tags.seed != 9", lambda s: s.run.seed == 6),
        ("params.norm in (batch, 'rms') and params.seed in (0, 2.0)",
         lambda s: s.norm in ("batch", "rms") and s.run.seed in (0, 2)),
        ("params.norm not in ('batch', 'rms', 'layer')", lambda s: s.norm == "group"),
        ("tags.outcome = diverged", lambda s: s.loss is None),
        ("params.none_such is null and tags.stage = search", lambda s: s.run.stage == "search"),
        ("run_name = 'relu-batch seed 2'",
         lambda s: (s.run.variant, s.run.seed) == ("relu-batch", 2)),
        ("", lambda s: True),
    ],
)  # fmt: skip
def test_runs_are_found_by_what_they_are(store, query, filter, condition):
    answer = query(filter, "--csv")
    assert (answer.status, answer.err) == (0, "")
    expected = names_where(store, condition)
    assert expected
    assert sorted((row["study"], row["run_key"]) for row in answer.rows) == expected


@pytest.mark.parametrize("descending", [False, True])
def test_order_is_of_numbers_and_what_lacks_them_comes_last(query, descending):
    order = ["--descending"] if descending else []
    by_rate = query("--study", "rates", "--sort", "params.learning_rate", "--csv", *order)
    rates = [float(row["params.learning_rate"]) for row in by_rate.rows]
    assert rates == sorted(rates, reverse=descending)
    by_loss = query("--study", "rates", "--sort", 'metrics."summary/val_loss"', "--csv", *order)
    losses = [row["metrics.summary/val_loss"] for row in by_loss.rows]
    assert losses[-1] == ""
    known = list(map(float, losses[:-1]))
    assert known == sorted(known, reverse=descending)


def test_a_limit_cuts_what_is_shown_and_not_what_is_counted(query):
    answer = query("--sort", "val/loss", "--limit", "3", "--study", "grid")
    assert [line.split()[-1] for line in answer.lines[1:4]] == ["2.101", "2.102", "2.103"]
    assert answer.lines[-1] == "140 runs match, 3 shown"


def test_csv_has_numbers_in_full_and_columns_that_are_the_same(store, query):
    stored = {(s.study, s.run.run_key): s for s in store.runs}
    rows = query(DOCUMENTED, "--csv").rows
    assert rows
    for row in rows:
        run = stored[row["study"], row["run_key"]]
        assert float(row["metrics.val/loss"]) == run.loss
        assert (row["variant"], row["kind"], row["outcome"]) == (
            run.run.variant,
            "run",
            "completed",
        )
        assert (row["params.norm"], row["params.activation"]) == ("layer", run.activation)
        assert len(row["run_id"]) == 32


def test_json_has_everything_or_the_columns_that_are_asked_for(store, query):
    (run,) = json.loads(query("params.seed = 1 and run_name LIKE 'relu-rms%'", "--json").out)
    stored = next(
        s for s in store.runs if (s.study, s.run.run_key) == (run["study"], run["run_key"])
    )
    assert (run["study"], run["variant"], run["seed"]) == ("grid", "relu-rms", 1)
    assert run["metrics"] == {
        "val/loss": stored.loss, "summary/val_loss": stored.loss, "train/loss": 1.5,
    }  # fmt: skip
    assert (run["params"]["d_model"], run["tags"]["run_key"]) == ("128", run["run_key"])
    assert run["attributes"]["run_name"] == "relu-rms seed 1"
    (some,) = json.loads(
        query("run_name = 'relu-rms seed 1'", "--json", "--columns", "norm,train/loss").out
    )
    assert (some["params"], some["metrics"]) == ({"norm": "rms"}, {"train/loss": 1.5})
    assert (some["tags"], some["run_id"]) == ({}, run["run_id"])


def test_a_metric_that_is_no_number_comes_last_and_is_null_in_json(tmp_path, capsys):
    client = Tracking(default_tracking_uri(tmp_path)).client
    experiment = client.create_experiment("foreign")
    for loss in (1.0, float("nan"), 2.0):
        run = client.create_run(experiment, tags={"kind": "run"}, run_name=f"loss-{loss}")
        client.log_metric(run.info.run_id, "loss", loss)
    arguments = ["query", "--sort", "loss", "--descending", "--home", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["metrics"]["loss"] for run in found] == [2.0, 1.0, None]
    assert main([*arguments, "--columns", "loss"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in table[1:4]] == ["2", "1", "nan"]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--kind", "variant"], 22),
        (["--kind", "variant", "params.norm = layer"], 6),
        (["tags.kind = 'variant'"], 22),
        (["--kind", "study"], 2),
        (["--kind", "all"], 172),
        (["--kind", "run", "--study", "rates"], 8),
    ],
)
def test_kinds_of_runs(query, arguments, count):
    assert query(*arguments).lines[-1] == f"{count} runs match"


def test_a_study_is_named_or_given_by_its_file(store, query):
    by_file = query("--study", str(store.study_file), "--csv")
    assert by_file == query("--study", "rates", "--csv")
    assert len(by_file.rows) == 8
    unknown = query("--study", "rate")
    assert (unknown.status, unknown.out) == (2, "")
    assert (
        "no study 'rate': did you mean 'rates'? Studies there: Default, grid, rates." in unknown.err
    )


@pytest.mark.parametrize("option", ["--sort", "--columns"])
def test_unknown_names_of_columns_are_refused(query, option):
    answer = query(option, "nrom")
    assert (answer.status, answer.out) == (2, "")
    assert "no run that was found has nrom: did you mean 'norm'" in answer.err
