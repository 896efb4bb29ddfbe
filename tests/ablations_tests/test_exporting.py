"""`ablate export`, on the weights of a study that was trained."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from safetensors.torch import load_file

from ablations.cli import main
from ablations.run_lookup import find_run
from lightning_modules.checkpoints import TOKENIZER, WEIGHTS
from studies.metrics import FINAL_LOSS
from studies.schema import CustomModule

RUN = "tiny/layer/1"
FILES = {"README.md", "config.json", "model.safetensors", TOKENIZER, "tokenizer_config.json"}


def export(finished, *arguments):
    return main(["export", *arguments, "--home", str(finished.home)])


def test_a_run_becomes_a_folder_of_transformers(finished, tmp_path, capsys):
    folder = tmp_path / "out" / "model"
    assert export(finished, RUN, str(folder)) == 0
    assert "GPT2LMHeadModel in " in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == FILES
    (tmp_path / "any").touch()
    assert {path.stat().st_mode for path in folder.iterdir()} == {(tmp_path / "any").stat().st_mode}
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["vocab_size"], config["dtype"]) == ("gpt2", 256, "float32")
    run = find_run(finished.home, RUN).directory
    weights = load_file(run.attempt(run.record().attempt).path / WEIGHTS)
    exported = load_file(folder / "model.safetensors")
    assert exported["transformer.wpe.weight"].equal(weights["model.position_embedding.weight"])
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_the_card_has_the_metrics_with_intervals_over_seeds(finished, tmp_path):
    assert export(finished, RUN, str(tmp_path / "model")) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "transformers"
    losses = [
        find_run(finished.home, f"tiny/layer/{seed}").directory.record().summary[FINAL_LOSS]
        for seed in (0, 1)
    ]
    [row] = [line for line in card.splitlines() if line.startswith("| final loss |")]
    _, _, _, own, mean, interval, _ = (cell.strip() for cell in row.split("|"))
    assert float(own) == pytest.approx(losses[1], abs=5e-4)
    assert float(mean) == pytest.approx(sum(losses) / 2, abs=5e-4)
    half = 12.706 * abs(losses[1] - losses[0]) / 2  # t of one degree of freedom
    low, high = map(float, interval.split(" to "))
    assert high - low == pytest.approx(2 * half, abs=2e-3)
    assert "| final bits per byte | bits/byte |" in card
    assert f"run key `{find_run(finished.home, RUN).directory.run_key}`" in card


def test_a_folder_that_is_there_is_left_alone(finished, tmp_path, capsys):
    (tmp_path / "model").mkdir()
    assert export(finished, RUN, str(tmp_path / "model")) == 2
    assert "exists: remove it, or name another folder" in capsys.readouterr().err
    assert not list((tmp_path / "model").iterdir())


def test_a_variant_that_is_no_architecture_says_so(finished, tmp_path, capsys):
    assert export(finished, "tiny/rms/1", str(tmp_path / "model")) == 2
    told = capsys.readouterr().err
    assert "GPT2LMHeadModel: model.norm = rms" in told
    assert "LlamaForCausalLM: model.position = learned, model.activation = gelu" in told
    assert not list(tmp_path.iterdir())


def test_a_module_of_ones_own_is_none_either(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    directory = find_run(finished.home, RUN).directory
    shutil.copytree(directory.path, folder)
    own = directory.spec().model_copy(update={"module": CustomModule(import_path="a.b:C")})
    (folder / "spec.json").write_text(own.model_dump_json())
    assert export(finished, str(folder), str(tmp_path / "model")) == 2
    assert "trained a module of your own, a.b:C" in capsys.readouterr().err


def test_a_run_outside_any_study_is_called_by_its_folder(finished, tmp_path):
    shutil.copytree(find_run(finished.home, RUN).directory.path, tmp_path / "run")
    assert export(finished, str(tmp_path / "run"), str(tmp_path / "model")) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert "\n# run\n" in card
    assert "one seed: no interval" in card


def test_the_card_names_the_weights_that_training_started_from(finished, tmp_path):
    directory = find_run(finished.home, RUN).directory
    shutil.copytree(directory.path, tmp_path / "run")
    spec = directory.spec()
    given = {"weights": "/gone/gpt2", "weights_digest": "0123"}
    started = spec.model_copy(update={"model": spec.model.model_copy(update=given)})
    (tmp_path / "run" / "spec.json").write_text(started.model_dump_json())
    assert export(finished, str(tmp_path / "run"), str(tmp_path / "model")) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert "\n- training started from the weights gpt2 (digest 0123)\n" in card
