"""Finding a run by key, by name and by folder."""

from __future__ import annotations

import shutil

import pytest

from ablations.run_lookup import find_run
from studies.errors import AblationError
from tests.ablations_tests.synthetic_runs import plan_study, planned, write_run


@pytest.fixture
def study(tmp_path):
    return plan_study(tmp_path)


@pytest.mark.parametrize("digits", [6, 16])
def test_the_beginning_of_a_key_is_enough(tmp_path, study, digits):
    plan, _ = study
    for run in plan.runs:
        found = find_run(tmp_path, run.run_key[:digits].upper())
        assert found.planned == run
        assert found.name == f"shown/{run.variant}/{run.seed}"


def test_a_run_is_found_by_study_variant_and_seed(tmp_path, study):
    plan, directory = study
    run = planned(plan, "post", 1)
    assert find_run(tmp_path, "shown/post/1").directory.path == directory.run(run.run_key).path


def test_a_run_is_found_by_its_folder_in_a_study_and_alone(tmp_path, study):
    plan, directory = study
    run = planned(plan, "post")
    write_run(plan, directory, run)
    folder = directory.run(run.run_key).path
    assert find_run(tmp_path / "elsewhere", str(folder)).name == "shown/post/0"
    alone = tmp_path / "copy"
    shutil.copytree(folder, alone)
    found = find_run(tmp_path, str(alone))
    assert (found.plan, found.name) == (None, str(alone))


def test_a_run_of_an_earlier_plan_is_found_by_its_key(tmp_path, study):
    plan, directory = study
    run = planned(plan, "post")
    write_run(plan, directory, run)
    plan_study(tmp_path, model={"n_layers": 2})
    found = find_run(tmp_path, run.run_key)
    assert found.planned is None
    assert found.directory.path == directory.run(run.run_key).path


def test_a_key_in_two_studies_is_ambiguous_and_names_both(tmp_path, study):
    plan, _ = study
    plan_study(tmp_path, name="again")
    key = planned(plan, "pre").run_key
    with pytest.raises(AblationError, match="2 runs have a key that begins with") as raised:
        find_run(tmp_path, key)
    assert f"again/pre/0 ({key})\n  shown/pre/0 ({key})" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zz", "no run under .* begins with 'zz'. Studies there: shown"),
        ("shwn", "did you mean 'shown'"),
        ("shown", "is a study of 4 runs; name one:\n  shown/pre/0"),
        ("shown/pro/0", "did you mean 'pre'"),
        ("shown/pre", "a seed is missing after shown/pre. Seeds: 0, 1"),
        ("shown/pre/7", "no seed '7' of shown/pre. Seeds: 0, 1"),
        ("other/pre/0", "no runs of study 'other'"),
        ("/no/such/folder", "no run folder '/no/such/folder'"),
        ("a/b/c/d", "no run folder 'a/b/c/d'"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(tmp_path, study, text, words):
    with pytest.raises(AblationError, match=words):
        find_run(tmp_path, text)


def test_an_empty_home_has_no_runs(tmp_path):
    with pytest.raises(AblationError, match="Studies there: none"):
        find_run(tmp_path, "ab")
    assert list(tmp_path.iterdir()) == []
