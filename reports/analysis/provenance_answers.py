"""What code and which packages runs used, in words, by their provenance."""

from __future__ import annotations

from collections import Counter

from reports.analysis.spending import NOT_KNOWN
from reports.results.frame import StudyResults
from studies.records import RunRecord

COMMIT_DIGITS = 12


def packages(results: StudyResults) -> str:
    """Python and packages with every version that occurs: "torch 2.13.0"."""
    found: dict[str, Counter[str]] = {}
    for record in results.records.values():
        listed = {"python": record.provenance.get("python")}
        listed |= record.provenance.get("packages", {})
        for name, version in listed.items():
            found.setdefault(name, Counter())[NOT_KNOWN if version is None else str(version)] += 1
    if not found:
        return NOT_KNOWN
    return ", ".join(f"{name} {_versions(counts)}" for name, counts in found.items())


def _versions(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return " and ".join(f"{version} ({n} runs)" for version, n in sorted(counts.items()))


def code(results: StudyResults) -> str:
    """Commit, and whether the code was that commit: clean, changed, or not known."""
    states = Counter(_state(record) for record in results.records.values())
    if not states:
        return NOT_KNOWN
    if len(states) == 1:
        return f"of the folder that runs were started in: {next(iter(states))}"
    shown = "; ".join(f"{state} ({n} runs)" for state, n in sorted(states.items()))
    return f"of the folder that runs were started in, it differs between runs: {shown}"


def _state(record: RunRecord) -> str:
    git = record.provenance.get("git") or {}
    commit, dirty = git.get("commit"), git.get("dirty")
    if commit is None:
        return f"commit {NOT_KNOWN}"
    clean = {
        True: "with changes that are not committed, so that the commit is not the code that ran",
        False: "without changes to tracked files",
        None: "whether it had changes is not known",
    }[dirty]
    return f"commit {str(commit)[:COMMIT_DIGITS]} {clean}"
