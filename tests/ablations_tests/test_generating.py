"""`ablate generate`, on the weights of a study that was trained."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from ablations.cli import main
from ablations.run_lookup import find_run
from lightning_modules.checkpoints import WEIGHTS
from studies.records import Outcome

RUN = "tiny/rms/1"


def generate(finished, *arguments):
    return main(["generate", *arguments, "--home", str(finished.home)])


def test_a_run_goes_on_with_prompts(finished, capsys):
    assert generate(finished, RUN, "The ", "x = [", "--max-new-tokens", "5") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("The ")
    assert "\n\nx = [" in printed
    assert printed.count("[5 tokens: as many as asked for]") == 2


def test_what_the_worker_drew_is_drawn_again(finished, capsys):
    """Weights, tokeniser, prompts, seed and draws are those of the end of the run."""
    samples = find_run(finished.home, RUN).directory.record().samples
    prompts = [text.prompt for text in samples.texts]
    assert generate(finished, RUN, *prompts, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [text.model_dump() for text in samples.texts]


def test_options_are_those_of_sampling(finished, capsys):
    texts = set()
    for options in (["--seed", "1"], ["--temperature", "0"], ["--top-k", "1"], ["--top-p", "1e-9"]):
        assert generate(finished, RUN, "The ", "--json", *options) == 0
        texts.add(json.loads(capsys.readouterr().out)[0]["text"])
    assert len(texts) == 2  # the likeliest tokens, whichever way they are asked for


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([RUN, ""], "has no token"),
        ([RUN, "x" * 16], "16 tokens leaves no room in a context of 16"),
        ([RUN, "x", "--top-p", "2"], "--top-p 2: Input should be less than or equal to 1"),
        ([RUN, "x", "--seed", "-1", "--top-k", "y"], "--top-k y: .*; --seed -1: "),
        (["tiny/none/1", "x"], "no variant 'none' in study 'tiny'"),
    ],
)
def test_what_cannot_be_is_refused(finished, capsys, arguments, message):
    assert generate(finished, *arguments) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": Outcome.DIVERGED}, "is diverged: only a run that completes leaves weights"),
        ({"leak": None}, "maps no tokens to logits"),
        ({}, "kept no weights"),
        (None, "has not ended"),
    ],
)
def test_a_run_without_weights_says_why(finished, tmp_path, capsys, change, message):
    folder = tmp_path / "run"
    directory = find_run(finished.home, RUN).directory
    shutil.copytree(directory.path, folder)
    for weights in folder.glob(f"*/{WEIGHTS}"):
        weights.unlink()
    if change is None:
        for record in folder.rglob("record.json"):
            record.unlink()
    else:
        record = directory.record().model_copy(update=change)
        (folder / "record.json").write_text(record.model_dump_json())
    assert generate(finished, str(folder), "x") == 2
    assert message in capsys.readouterr().err
