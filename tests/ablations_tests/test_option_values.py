"""With what a study is run and tracked when nobody says."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from ablations.option_values import recall, tracking_uri
from ablations.run_directory import StudyDirectory
from ablations.run_with import RunWith, save_run_with
from ablations.tracking_store import default_tracking_uri

LAB, HERE, TYPED = (f"http://{host}:5000" for host in ("lab", "here", "typed"))


@pytest.fixture(autouse=True)
def profiles(tmp_path, monkeypatch):
    """Profiles of the user, one of them for whoever asks for none."""
    path = tmp_path / "profiles.yaml"
    lab = {"launcher": "slurm", "tracking_uri": LAB}
    path.write_text(yaml.safe_dump({"lab": lab, "laptop": {}, "default": {"tracking_uri": HERE}}))
    monkeypatch.setenv("ABLATE_PROFILES", str(path))


def ran(home: Path, study: str, **run_with: str) -> StudyDirectory:
    """A study that was run with these; None is what the user did not say."""
    directory = StudyDirectory(home, study)
    directory.path.mkdir(exist_ok=True)
    directory.plan_path.touch()
    nothing = dict.fromkeys(RunWith.model_fields)
    save_run_with(directory, RunWith(**{**nothing, **run_with}))
    return directory


def options(home: Path, **asked: object) -> Namespace:
    names = ("study", "launcher", "profile", "tracking_uri")
    return Namespace(home=home, **{**dict.fromkeys(names), **asked})


def test_a_study_is_tracked_where_it_was_last(tmp_path):
    assert tracking_uri(options(tmp_path, study="tiny")) == HERE
    ran(tmp_path, "tiny", profile="lab", tracking_uri=LAB)
    assert tracking_uri(options(tmp_path, study="tiny")) == LAB
    assert tracking_uri(options(tmp_path, study="tiny", profile="laptop")) == LAB
    assert tracking_uri(options(tmp_path, study="tiny", tracking_uri=TYPED)) == TYPED
    assert tracking_uri(options(tmp_path, study="other")) == HERE
    assert tracking_uri(options(tmp_path, study="tiny", set=["name=other"])) == HERE


def test_a_profile_that_is_asked_for_goes_before_what_was_last(tmp_path, monkeypatch):
    ran(tmp_path, "tiny", tracking_uri=TYPED)
    assert tracking_uri(options(tmp_path, study="tiny", profile="lab")) == LAB
    monkeypatch.setenv("ABLATE_PROFILE", "lab")
    assert tracking_uri(options(tmp_path, study="tiny")) == LAB


def test_a_store_that_all_studies_share_is_asked_where_none_is_named(tmp_path, monkeypatch):
    ran(tmp_path, "a", tracking_uri=LAB)
    ran(tmp_path, "b", tracking_uri=LAB)
    assert tracking_uri(options(tmp_path)) == LAB
    ran(tmp_path, "c")
    assert tracking_uri(options(tmp_path)) == HERE
    monkeypatch.delenv("ABLATE_PROFILES")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    assert tracking_uri(options(tmp_path)) == default_tracking_uri(tmp_path)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "--profile lab"),
        ({"launcher": "local"}, f"--tracking-uri {LAB}"),
        ({"profile": "laptop"}, f"--tracking-uri {LAB}"),
        ({"profile": "lab"}, ""),
        ({"tracking_uri": TYPED}, "--profile lab"),
        ({"launcher": "local", "tracking_uri": TYPED}, ""),
    ],
)
def test_what_is_not_asked_for_is_as_before(asked, told, tmp_path):
    directory = ran(tmp_path, "tiny", profile="lab", tracking_uri=LAB)
    given = options(tmp_path, study="tiny", **asked)
    assert recall(given, directory) == told
    assert {name: getattr(given, name) for name in asked} == asked
    assert tracking_uri(given) == asked.get("tracking_uri", LAB)


def test_a_launcher_that_was_typed_is_taken_again(tmp_path):
    directory = ran(tmp_path, "tiny", launcher="slurm")
    given = options(tmp_path, study="tiny")
    assert recall(given, directory) == "--launcher slurm"
    assert (given.launcher, given.profile) == ("slurm", None)


def test_a_study_that_was_never_run_has_nothing_to_recall(tmp_path):
    given = options(tmp_path, study="tiny")
    assert recall(given, StudyDirectory(tmp_path, "tiny")) == ""
    assert given == options(tmp_path, study="tiny")
