"""Situations for the checks of `ablate doctor`, and their findings as a test reads them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ablations.doctor.findings import Finding, Mark
from ablations.doctor.situation import Situation
from ablations.profiles import Profile
from ablations.tracking_store import default_tracking_uri


def situation(home: Path, **changes: Any) -> Situation:
    """This machine and a SQLite file, unless told otherwise."""
    usual = {
        "home": home,
        "profile": Profile(),
        "launcher": "local",
        "storage": f"sqlite:///{home}/study/ledger.db",
        "tracking_uri": default_tracking_uri(home),
    }
    return Situation(**{**usual, **changes})


def on_slurm(home: Path, workers: int = 1, **settings: Any) -> Situation:
    profile = Profile.model_validate({"launcher": "slurm", "workers": workers, "slurm": settings})
    return situation(home, profile=profile, launcher="slurm", storage=f"journal://{home}/j")


def marks(findings: Iterable[Finding]) -> list[str]:
    return [finding.mark.value for finding in findings]


def only(findings: Iterable[Finding], mark: Mark = Mark.PROBLEM) -> Finding:
    """The one finding with a mark; each that is not ok says what to do."""
    found = list(findings)
    assert all(bool(finding.remedy) is (finding.mark is not Mark.OK) for finding in found)
    [finding] = [finding for finding in found if finding.mark is mark]
    return finding
