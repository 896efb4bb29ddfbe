import pytest

from studies.designs import combinations
from studies.loading import load_study
from tests.studies_tests.helpers import problems_of, study_of


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A folder with a study and texts, and a working directory with other texts."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text("text")
    (here / "study.yaml").write_text("name: some\ndata: {corpus: a.txt}\n")
    monkeypatch.chdir(elsewhere)
    return here, elsewhere


def test_paths_of_the_file_are_relative_to_the_file(folders):
    here, _ = folders
    study = load_study("../here/study.yaml").study
    assert study.data.corpus == str((here / "a.txt").resolve())


def test_paths_of_set_are_relative_to_the_working_directory(folders):
    here, elsewhere = folders
    loaded = load_study(str(here / "study.yaml"), ["data.corpus=b.txt"])
    assert loaded.study.data.corpus == str((elsewhere / "b.txt").resolve())
    assert loaded.overrides == {"data.corpus": "b.txt"}
    factors = load_study(str(here / "study.yaml"), ["factors.data.corpus=[a.txt, b.txt]"]).study
    assert factors.factors["data.corpus"][1] == str((elsewhere / "b.txt").resolve())


def test_a_path_is_the_same_wherever_the_study_names_it(folders):
    here, _ = folders
    a, b = (str((here / name).resolve()) for name in ("a.txt", "b.txt"))
    factors = {"data.corpus": ["a.txt", "b.txt"]}
    design = {"kind": "one_at_a_time", "baseline": {"data.corpus": "a.txt"}}
    report = {"baseline": {"data.corpus": "b.txt"}}
    exclude = [{"when": {"data.corpus": "b.txt"}, "because": "no"}]
    study = study_of(here, factors=factors, design=design, report=report, exclude=exclude)
    assert [c["data.corpus"] for c in combinations(study)] == [a, b]
    assert study.report.baseline == {"data.corpus": b}
    assert study.exclude[0].when == {"data.corpus": (b,)}
    cells = study_of(here, design={"kind": "list", "cells": [{"data.corpus": "a.txt"}]})
    assert combinations(cells) == [{"data.corpus": a}]


@pytest.mark.parametrize("name", ["python-docs", "python-stdlib", "hub:a/b"])
def test_names_are_no_paths(name, tmp_path):
    assert study_of(tmp_path, data={"corpus": name}).data.corpus == name


def test_a_hub_name_is_no_tokenizer(tmp_path):
    assert "data.tokenizer" in problems_of(tmp_path, data={"tokenizer": "hub:a/b"})


def test_a_folder_is_a_corpus(tmp_path):
    assert study_of(tmp_path, data={"corpus": "."}).data.corpus == str(tmp_path.resolve())


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("text")
    assert study_of(data={"corpus": "~/a.txt"}).data.corpus == str(tmp_path.resolve() / "a.txt")


def test_the_file_of_a_module_is_found_and_digested(tmp_path):
    (tmp_path / "own.py").write_text("first")
    first = study_of(tmp_path, module={"import_path": "own.py:Model"}).module
    assert first.import_path == f"{(tmp_path / 'own.py').resolve()}:Model"
    (tmp_path / "own.py").write_text("second")
    second = study_of(tmp_path, module={"import_path": "own.py:Model"}).module
    assert first.source_digest != second.source_digest
    assert study_of(tmp_path, module={"import_path": "a.b:Model"}).module.source_digest is None


def test_missing_files_are_named_with_their_full_path(tmp_path):
    problems = problems_of(
        tmp_path,
        data={"corpus": "a.txt", "tokenizer": "t.json"},
        factors={"data.corpus": ["b.txt", "python-doc"]},
        module={"import_path": "own.py:Model"},
    )
    assert set(problems) == {
        "data.corpus",
        "data.tokenizer",
        "factors.data.corpus",
        "module.import_path",
    }
    assert f"{tmp_path.resolve() / 'a.txt'} does not" in problems["data.corpus"].allowed


@pytest.fixture
def weights(tmp_path):
    """A folder with weights as `transformers` writes them, relative to `tmp_path`."""
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "model.safetensors").write_text("weights")
    return "gpt2"


def test_weights_are_a_file_or_a_folder_with_one(tmp_path, weights):
    assert study_of(tmp_path).model.weights is None
    for name in (weights, f"{weights}/model.safetensors"):
        found = study_of(tmp_path, model={"weights": name}).model.weights
        assert found == str(tmp_path.resolve() / name)


def test_weights_are_a_factor(tmp_path, weights):
    study = study_of(tmp_path, factors={"model.weights": [None, weights]})
    assert study.factors["model.weights"] == (None, str(tmp_path.resolve() / weights))


@pytest.mark.parametrize("name", ["", "gone", "gone.safetensors", "empty", "model.bin", "a\0b"])
def test_weights_that_are_none_are_told_how_to_be_written(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.bin").write_text("pickled")
    problems = problems_of(tmp_path, model={"weights": name})
    assert list(problems) == ["model.weights"]
    assert (
        "null, a *.safetensors file, or a folder with model.saf"
        in problems["model.weights"].allowed
    )
    assert "save_pretrained(FOLDER" in problems["model.weights"].remedy
    assert "factors.model.weights" in problems_of(tmp_path, factors={"model.weights": [name]})
