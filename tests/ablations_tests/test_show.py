"""`ablate show` on runs in every state."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from ablations.cli import main
from ablations.ledger import Ledger
from ablations.storages.sqlite import sqlite_url
from studies.metrics import ByConstruction
from studies.records import Outcome
from tests.ablations_tests.synthetic_runs import (
    BY_BLOCK,
    BY_TAP,
    FIXED,
    LAYERS,
    definitions,
    plan_study,
    planned,
    values_at,
    write_attempt,
    write_run,
)

BLOCKS = [f"block_{index:02d}" for index in range(LAYERS)]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A home folder with a study: two completed runs, one diverged, one whose worker was killed."""
    home = tmp_path_factory.mktemp("shown")
    plan, directory = plan_study(home)
    for variant in ("pre", "post"):
        write_run(plan, directory, planned(plan, variant))
    diverged = {"summary/diverged_at_step": 137.0, "summary/train_loss_last_finite": 8.2134}
    write_run(plan, directory, planned(plan, "pre", 1), Outcome.DIVERGED, summary=diverged)
    write_attempt(plan, directory, planned(plan, "post", 1), 3, last_step=85)
    return home, plan, directory


@pytest.fixture
def show(study, capsys):
    def shown(*arguments, home=study[0]) -> str:
        assert main(["show", *arguments, "--home", str(home)]) == 0
        return capsys.readouterr().out

    return shown


def row_of(output: str, start: str) -> str:
    """The one line that starts so."""
    (line,) = [line for line in output.splitlines() if line.strip().startswith(start)]
    return " ".join(line.split())


def test_a_completed_run_shows_outcome_summary_curves_and_headlines(show):
    output = show("shown/pre/0")
    lines = output.splitlines()
    assert lines[0].startswith("shown/pre/0   run ")
    assert lines[1] == "placement pre · seed 0"
    assert "completed · causal · 1:01 wall time" in lines
    final = "final loss 2.601 nats/token validation loss at the last step; no selection"
    assert row_of(output, "final loss") == final
    assert row_of(output, "parameters").startswith("parameters 117,056 trainable")
    assert "5.5 2.5 200 2.5 0–200 █" in row_of(output, "training loss")
    assert "learning rate 0.003 0.003 0 0 0–200 █" in row_of(output, "learning rate")
    assert "gradient norm, total 1 1 0 0.3679 0–200 █" in row_of(output, "gradient norm, total")
    assert output.count("residual_00") == 2  # RMS and drift
    assert "attention_norm_00" not in output


def test_layers_stand_against_evenly_chosen_steps(show):
    output = show("shown/pre/0", "--family", "activation_kurtosis", "--tap", "hidden")
    assert row_of(output, "layer") == "layer step 0 40 100 160 200 steps 0–200 (log)"
    assert row_of(output, "hidden_03") == "hidden_03 0 0.8 2 3.2 4 ·▄▅▆▆▇▇▇███"
    assert "what activation_kurtosis is" in output
    assert "residual_00" not in output
    assert "final loss" not in output


def test_the_default_is_short_and_says_how_to_see_the_rest(show):
    output = show("shown/pre/0")
    assert len(output.splitlines()) < 80
    headlines = 2 * (LAYERS + 1) + 4 * LAYERS
    hidden = len(values_at(0)) - headlines - 4
    assert f"{hidden} more curves: --all, --json, or" in output
    choices = " ".join(output.partition("--family")[2].split())
    alone = ["train/loss", "val/loss", "train/learning_rate"]
    assert choices.partition(" --tap ")[0].split(", ") == sorted([*BY_TAP, *BY_BLOCK]) + alone
    assert choices.endswith("pre_activation, hidden, block")


def test_all_shows_every_curve(show):
    output = show("shown/pre/0", "--all")
    assert "more curves" not in output
    for leaf in ("hidden_03", "block_03", "embedding", "feed_forward_output_00"):
        assert leaf in output


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["val/loss"], ["validation loss, nats/token", "validation loss"]),
        (["train"], ["training loss,", "learning rate", "training loss", "learning rate"]),
        (["gradient_norm/block_01"], ["block_01"]),
        (["gradient_norm/total", "gradient_norm/block"], [*BLOCKS, "total"]),
        (["activation_rms/hidden"], [f"hidden_{index:02d}" for index in range(LAYERS)]),
    ],
)
def test_curves_are_shown_by_name(show, names, shown):
    lines = show("shown/pre/0", *(f"--family={name}" for name in names)).splitlines()[4:]
    starts = ("validation", "training", "learning", "block_", "total", "hidden_", "residual_")
    rows = [line.strip() for line in lines if line.strip().startswith(starts)]
    assert len(rows) == len(shown)
    assert all(row.startswith(name) for row, name in zip(rows, shown, strict=True))


def test_inputs_of_batch_norms_are_layers(tmp_path, show, monkeypatch):
    plan, directory = plan_study(tmp_path)
    curves = {f"batch_norm_mean_distance/attention_norm_input_{i:02d}": 0.1 for i in range(4)}
    monkeypatch.setattr("tests.ablations_tests.synthetic_runs.values_at", lambda _: curves)
    write_run(plan, directory, planned(plan, "pre"))
    output = show("shown/pre/0", "--tap", "attention_norm_input", home=tmp_path)
    assert output.count("attention_norm_input_") == 4


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.DIVERGED])
def test_a_target_that_was_not_reached_is_told(tmp_path, show, outcome):
    plan, directory = plan_study(tmp_path)
    facts = {"target_loss": 1.25}
    write_run(plan, directory, planned(plan, "pre"), outcome, facts=facts)
    reached = {"summary/steps_to_target": 42.0}
    write_run(plan, directory, planned(plan, "post"), outcome, facts=facts, summary=reached)
    output = show("shown/pre/0", home=tmp_path)
    assert row_of(output, "steps to target").startswith("steps to target not reached steps")
    assert "target_loss is 1.25" in output
    output = show("shown/post/0", home=tmp_path)
    assert row_of(output, "steps to target").startswith("steps to target 42 steps")


def test_nothing_is_said_of_a_target_that_no_run_had(show):
    assert "steps to target" not in show("shown/pre/0")


def test_a_run_that_has_not_ended_is_told_with_definitions(tmp_path, show):
    plan, directory = plan_study(tmp_path)
    run = planned(plan, "post")
    attempt = write_attempt(plan, directory, run, 0, last_step=85)
    assert "what activation_rms is" not in show("shown/post/0", home=tmp_path)
    attempt.save_definitions(definitions())
    write_attempt(plan, directory, run, 1, last_step=80)
    output = show("shown/post/0", home=tmp_path)
    assert "what activation_rms is" in output
    assert FIXED in output
    initial = "initial loss 5.6 nats/token validation loss before the first step"
    assert row_of(output, "initial loss") == initial
    assert row_of(output, "steps").startswith("steps 80 steps optimiser steps done")


def test_deep_models_show_some_layers_until_asked(tmp_path, show, monkeypatch):
    plan, directory = plan_study(tmp_path, model={"n_layers": 24})
    deep = {f"gradient_norm/block_{index:02d}": 1.0 + index for index in range(24)}
    monkeypatch.setattr("tests.ablations_tests.synthetic_runs.values_at", lambda _: deep)
    write_run(plan, directory, planned(plan, "pre"))
    output = show("shown/pre/0", home=tmp_path)
    assert output.count("block_") == 8
    assert "block_00" in output
    assert "block_23" in output
    assert show("shown/pre/0", "--family", "gradient_norm", home=tmp_path).count("block_") == 24


def test_curves_that_are_fixed_by_construction_are_marked_and_explained_once(show):
    output = show("shown/post/0")
    assert output.count(FIXED) == 1
    assert row_of(output, "¹") == f"¹ {FIXED}"
    marked = [line.split()[0] for line in output.splitlines() if "_" in line and " ¹ " in line]
    assert marked == [f"residual_{index:02d}" for index in range(1, LAYERS + 1)]
    assert "¹" not in show("shown/pre/0")


def test_a_family_that_is_fixed_in_every_layer_is_shown_on_request_alone(tmp_path, show):
    plan, directory = plan_study(tmp_path)
    rule = ByConstruction(FIXED, taps=("block",), when={"model.activation": ("gelu",)})
    dead = replace(definitions()["dead_units"], by_construction=(rule,))
    run = planned(plan, "pre")
    write_run(plan, directory, run, definitions=definitions() | {"dead_units": dead})
    assert FIXED not in show("shown/pre/0", home=tmp_path)
    assert FIXED in show("shown/pre/0", "--family", "dead_units", home=tmp_path)


def test_a_diverged_run_says_when_and_from_what(show):
    output = show("shown/pre/1")
    assert "diverged · at step 137 · last finite training loss 8.213 · causal" in output


def test_a_killed_run_shows_how_far_it_came(show):
    output = show("shown/post/1")
    assert "stopped before its end · step 85 of 200 · last value " in output
    assert "attempt 3: to step 85" in output
    assert "`ablate run` goes on with it" in output
    assert "5.5 4.225 85 4.225 0–85" in row_of(output, "training loss")


def test_a_run_that_nobody_began_says_so(tmp_path, show):
    plan_study(tmp_path)
    output = show("shown/post/1", home=tmp_path)
    assert "not started" in output
    assert "`ablate run` trains it" in output


def test_a_running_run_after_a_failed_attempt_is_running(tmp_path, show):
    plan, directory = plan_study(tmp_path)
    run = planned(plan, "pre")
    ledger = Ledger(sqlite_url(directory.ledger_path), "shown")
    ledger.reconcile([run.run_key])
    claim = ledger.claim([run.run_key])
    write_run(plan, directory, run, Outcome.FAILED, error="OSError: the disk went away")
    claim.fail("OSError: the disk went away")
    (directory.run(run.run_key).attempt(0).path / "error.txt").write_text("Traceback")

    output = show("shown/pre/0", home=tmp_path)
    assert "failed · causal" in output
    assert "\n  OSError: the disk went away\n" in output
    trace = directory.run(run.run_key).attempt(0).path / "error.txt"
    assert f"traceback: {trace}" in output
    assert "`ablate run --retry-failed` tries it again" in output

    ledger.reconcile([run.run_key], retry_failed=True)
    claim = ledger.claim([run.run_key])
    write_attempt(plan, directory, run, claim.attempt, last_step=40)
    output = show("shown/pre/0", home=tmp_path)
    claim.release("the test is over")
    assert "running · step 40 of 200" in output
    assert "attempt 0: to step 200, OSError: the disk went away" in output
    assert f"attempt {claim.attempt}: to step 40" in output


def test_a_run_whose_end_was_not_published_shows_its_attempts_record(tmp_path, show):
    plan, directory = plan_study(tmp_path)
    run = planned(plan, "pre")
    ledger = Ledger(sqlite_url(directory.ledger_path), "shown")
    ledger.reconcile([run.run_key])
    claim = ledger.claim([run.run_key])
    write_run(plan, directory, run)
    claim.complete(Outcome.COMPLETED, 2.6)
    directory.run(run.run_key).record_path.unlink()
    output = show("shown/pre/0", home=tmp_path)
    assert "completed · causal" in output
    assert "final loss" in output


def test_a_history_without_its_attempts_is_enough(tmp_path, study, show):
    _, plan, directory = study
    source = directory.run(planned(plan, "pre").run_key)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (source.record_path, source.history_path, source.spec_path):
        (copy / path.name).write_bytes(path.read_bytes())
    output = show(str(copy), "--family", "gradient_norm")
    assert output.startswith("shown/pre/0   run ")
    assert (
        output.splitlines()[4:] == show("shown/pre/0", "--family", "gradient_norm").splitlines()[4:]
    )


def test_json_has_the_record_and_every_curve(study, show):
    _, plan, directory = study
    printed = json.loads(show("shown/pre/0", "--json"))
    run = planned(plan, "pre")
    assert (printed["run"], printed["run_key"]) == ("shown/pre/0", run.run_key)
    record = json.loads(directory.run(run.run_key).record_path.read_text())
    assert printed["record"] == record
    assert printed["spec"]["seed"] == 0
    assert set(printed["curves"]) == set(values_at(0))
    assert printed["curves"]["val/loss"]["steps"] == list(range(0, 201, 20))
    assert printed["curves"]["val/loss"]["values"][-1] == pytest.approx(2.6)
    killed = json.loads(show("shown/post/1", "--json"))
    assert (killed["state"], killed["record"]) == ("unqueued", None)
    assert [(a["number"], a["last_step"]) for a in killed["attempts"]] == [(3, 85)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--family", "activation_drifts"], "no curves 'activation_drifts': did you mean"),
        (["--family", "val/los"], "no curves 'val/los': did you mean 'val/loss'"),
        (["--family", "gradient_norm/block_9"], "did you mean 'gradient_norm'"),
        (["--family", "val/loss", "--tap", "hidden"], "no curve of val/loss at hidden"),
        (["--tap", "hiden"], "no tap 'hiden': did you mean 'hidden'?"),
        (["--family", "dead_units", "--tap", "hidden"], "no curve of dead_units at hidden"),
        (["--tap", "zzz"], "taps that it recorded: residual, attention_norm"),
    ],
)
def test_a_wrong_family_or_tap_is_told_with_close_matches(study, capsys, arguments, words):
    assert main(["show", "shown/pre/0", *arguments, "--home", str(study[0])]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("run", ["shown/pre/0", "shown/post/1"])
def test_showing_needs_no_torch(study, run):
    code = (
        "import sys; from ablations.cli import main\n"
        "main(sys.argv[1:])\n"
        "heavy = {'torch', 'pytorch_lightning', 'mlflow', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", code, "show", run, "--home", str(study[0])]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert "\x1b" not in done.stdout
    assert "training loss" in done.stdout
