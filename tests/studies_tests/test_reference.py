import re
import shlex
import shutil
from pathlib import Path

import pytest

from ablations.cli import main
from studies.loading import load_study
from studies.planning import make_plan
from studies.reference import reference
from studies.schema import Study, factor_keys
from studies.vocabulary import VOCABULARIES

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "study-file.md"
WORKED_MODULE = ROOT / "tests" / "lightning_modules_tests" / "lstm_language_model.py"
MARK = re.compile(r"<!-- From here on .*?-->\n\n", re.DOTALL)


def blocks(language):
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


CELLS = {
    "norms-by-placement": (8, 7),
    "gated-or-not": (6, 6),
    "what-matters": (5, 5),
    "published-recipes": (3, 3),
    "gpt1-norms": (4, 4),
    "from-gpt2": (2, 2),
    "warmup-by-placement": (18, 13),
    "norms-at-their-best": (6, 5),
    "placement-tuned": (2, 2),
    "norms-pruned": (2, 2),
    "gates-and-norms": (6, 6),
    "what-norms-write": (2, 2),
    "norms-in-five-minutes": (3, 3),
    "weights-or-data": (9, 9),
    "lstm-width": (6, 6),
}
"""Example to its combinations and cells, as the text around it says."""


def test_the_document_has_every_example_of_this_test():
    names = [re.search(r"^name: ([a-z0-9-]+)", block, re.MULTILINE)[1] for block in blocks("yaml")]
    assert names == list(CELLS)


@pytest.mark.parametrize("block", blocks("yaml"), ids=list(CELLS))
def test_every_example_loads_and_plans(block, tmp_path):
    shutil.copy(WORKED_MODULE, tmp_path)
    (tmp_path / "gpt2").mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / "gpt2" / name).touch()
    (tmp_path / "study.yaml").write_text(block, encoding="utf-8")
    plan = make_plan(load_study(str(tmp_path / "study.yaml")).study)
    assert (plan.combinations, len(plan.cells)) == CELLS[plan.study.name]


def test_every_command_line_of_the_document_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "input.txt").write_text("text")
    [commands] = blocks("sh")
    for line in commands.splitlines():
        assert main(shlex.split(line)[1:]) == 0
        assert "cells x" in capsys.readouterr().out


def test_the_worked_module_is_the_one_that_is_tested():
    [block] = blocks("python")
    assert block in WORKED_MODULE.read_text(encoding="utf-8")
    assert "class LSTMLanguageModel" in block


def test_the_document_is_up_to_date(capsys):
    """Mend it with the output of `ablate list --keys`, below the comment that says so."""
    assert main(["list", "--keys"]) == 0
    printed = capsys.readouterr().out
    _, committed = MARK.split(DOCUMENT.read_text(encoding="utf-8"))
    assert committed == printed == reference()


def test_every_key_and_level_is_there():
    text = reference()
    parts = re.findall(r"^### (`[^\n]+`)\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    sections = {key: body for keys, body in parts for key in re.findall(r"`(.+?)`", keys)}
    for key in factor_keys():
        section, _, name = key.partition(".")
        assert f"| `{name}` |" in sections[section]
    for key, levels in VOCABULARIES.items():
        for level in levels:
            assert f"| `{level}` |" in sections[key]
    for name in Study.model_fields:
        assert f"| `{name}` |" in text
    assert {"design: one_at_a_time", "design: list", "exclude", "report"} <= sections.keys()


@pytest.mark.parametrize(
    "row",
    [
        "| `d_model` | `128` | whole number ≥ 8, ≤ 131072 | Width of the residual stream. |",
        "| `dropout` | `0.0` | number ≥ 0, < 1 |",
        "| `accumulate` | `1` | whole number ≥ 1 |",
        "| `d_ff` | `null` | whole number ≥ 1 or null |",
        "| `bias` | `false` | true or false |",
        "| `placement` | `pre` | `pre` `post` `sandwich` `none` |",
        "| `seeds` | `[0, 1, 2, 3, 4]` | list |",
        "| `name` | needed | text |",
    ],
)
def test_rows(row):
    assert f"\n{row}" in reference()


def test_rows_have_as_many_cells_as_their_head():
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in reference().splitlines() if "|" in line}
    assert bars == {5}
