"""With what a study was run last: its folder remembers, for commands that do not say."""

from __future__ import annotations

from ablations.run_directory import StudyDirectory
from studies.files import write_atomically
from studies.section import Section


class RunWith(Section):
    """What `run_with.json` says."""

    launcher: str | None
    """None is that of the profile."""
    profile: str | None
    """Name in the profiles of the user who ran it; None is the default one."""
    tracking_uri: str | None
    """None is the store of the home folder."""


def read_run_with(directory: StudyDirectory) -> RunWith | None:
    """With what a study was run last, None where it never was."""
    try:
        return RunWith.model_validate_json(directory.run_with_path.read_bytes())
    except FileNotFoundError:
        return None


def save_run_with(directory: StudyDirectory, run_with: RunWith) -> None:
    """Remember with what a study is run."""
    write_atomically(directory.run_with_path, run_with.model_dump_json(indent=1))
