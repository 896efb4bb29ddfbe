"""What the options of a subcommand name: a study that was run, and a tracking store."""

from __future__ import annotations

import argparse
from pathlib import Path

from ablations.profiles import Profile, load_profile
from ablations.run_directory import StudyDirectory
from ablations.tracking_store import default_tracking_uri
from studies.loading import load_study


def is_study_file(name: str) -> bool:
    """Whether a study that was run is named by the path of its file."""
    return Path(name).suffix in (".yaml", ".yml") and Path(name).is_file()


def study_directory(options: argparse.Namespace) -> StudyDirectory:
    """The folder of a study that was run: by its name, or by the path of its file."""
    name = options.study
    if is_study_file(name):
        name = load_study(name).study.name
    return StudyDirectory(options.home, name)


def tracking_uri(options: argparse.Namespace) -> str:
    """The tracking store that is asked for, that of the profile, or that of the home folder."""
    uri = options.tracking_uri or profile_of(options).tracking_uri
    return uri or default_tracking_uri(options.home)


def profile_of(options: argparse.Namespace) -> Profile:
    """The profile that is asked for, or the user's default."""
    return load_profile(options.profile)
