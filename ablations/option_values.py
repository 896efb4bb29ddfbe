"""What the options of a subcommand name: a study that was run, and a tracking store."""

from __future__ import annotations

import argparse
from pathlib import Path

from ablations.profiles import Profile, asked_profile, load_profile
from ablations.run_directory import StudyDirectory
from ablations.run_with import read_run_with
from ablations.tracking_store import default_tracking_uri
from ablations.typed_commands import name_that_was_set
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
    """The tracking store that is asked for, else the last one of the study, else the usual one.

    Where no study is named, that of all studies of the home folder, if they have the same.
    """
    return (
        _asked_tracking_uri(options)
        or _last_tracking_uri(options)
        or profile_of(options).tracking_uri
        or default_tracking_uri(options.home)
    )


def recall(options: argparse.Namespace, directory: StudyDirectory) -> str:
    """Fill in with what the study was run last, where the options and the environment do not say.

    Returns:
        What was filled in, as it could have been typed; empty if nothing.
    """
    last = read_run_with(directory)
    if last is None:
        return ""
    recalled = {}
    if not options.launcher and not asked_profile(options.profile):
        recalled = {"launcher": last.launcher, "profile": last.profile}
        vars(options).update(recalled)
    if not _asked_tracking_uri(options):
        recalled["tracking_uri"] = options.tracking_uri = last.tracking_uri
    given = ((name.replace("_", "-"), value) for name, value in recalled.items() if value)
    return " ".join(f"--{name} {value}" for name, value in given)


def _asked_tracking_uri(options: argparse.Namespace) -> str | None:
    """The store that the command line names, itself or by a profile."""
    asked = asked_profile(options.profile)
    return options.tracking_uri or (load_profile(asked).tracking_uri if asked else None)


def _last_tracking_uri(options: argparse.Namespace) -> str | None:
    """The store that the study was run with last, or all that there are."""
    if name := name_that_was_set(options):
        folders = [StudyDirectory(options.home, name)]
    elif getattr(options, "study", None):
        folders = [study_directory(options)]
    else:
        plans = options.home.glob("*/plan.json")
        folders = [StudyDirectory(options.home, plan.parent.name) for plan in plans]
    uris = {last.tracking_uri if last else None for last in map(read_run_with, folders)}
    return uris.pop() if len(uris) == 1 else None


def profile_of(options: argparse.Namespace) -> Profile:
    """The profile that is asked for, or the user's default."""
    return load_profile(options.profile)
