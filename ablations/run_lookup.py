"""Finding one run by the beginning of its key, by its name in a study, or by its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablations.run_directory import RunDirectory, StudyDirectory
from studies.errors import AblationError, close_matches
from studies.plan import Plan, PlannedRun

FORMS = "RUN is the beginning of a run key, STUDY/VARIANT/SEED, or the folder of a run"
LISTED = 12
"""Candidates that an error names."""


@dataclass(frozen=True)
class FoundRun:
    """A run that was asked for; what it left on disk may still be nothing."""

    directory: RunDirectory
    study: StudyDirectory | None = None
    """None for a folder that lies in no study."""
    plan: Plan | None = None
    planned: PlannedRun | None = None
    """None where the study's plan no longer has the run."""

    @property
    def name(self) -> str:
        """What finds the run again: STUDY/VARIANT/SEED, or its folder where no plan names it.

        A run at searched values is STUDY/VARIANT/SEED@learning_rate=0.01.
        """
        if self.plan is None or self.planned is None:
            return str(self.directory.path)
        return f"{self.plan.study.name}/{self.planned.variant}/{self.planned.place}"


def find_run(home: Path, text: str) -> FoundRun:
    """The run that a user means.

    Raises:
        AblationError: no run answers to the text, or several do; the message names candidates.
    """
    path = Path(text).expanduser()
    if _is_run_directory(path):
        return _by_path(path.resolve())
    if "/" in text:
        return _by_name(home, text)
    return _by_key(home, text)


def _is_run_directory(path: Path) -> bool:
    return (path / "spec.json").is_file() or (path / "record.json").is_file()


def _by_path(path: Path) -> FoundRun:
    folder = path.parent.parent
    if path.parent.name == "runs" and (folder / "plan.json").is_file():
        study = StudyDirectory(folder.parent, folder.name)
        return _in_study(study, study.load_plan(), path.name)
    return FoundRun(RunDirectory(path))


def _in_study(study: StudyDirectory, plan: Plan, run_key: str) -> FoundRun:
    planned = next((run for run in plan.all_runs if run.run_key == run_key), None)
    return FoundRun(study.run(run_key), study, plan, planned)


def _by_name(home: Path, text: str) -> FoundRun:
    name, variant, seed, *rest = [*text.split("/"), "", ""]
    if not name or len(rest) > 2:
        raise AblationError(f"there is no run folder {text!r}. {FORMS}.")
    study = StudyDirectory(home, name)
    plan = study.load_plan()
    variants = [cell.variant for cell in plan.cells]
    if variant not in variants:
        hint = close_matches(variant, variants)
        raise AblationError(
            f"no variant {variant!r} in study {name!r}: {hint + ' ' if hint else ''}"
            f"Variants: {_some(variants)}."
        )
    runs = {run.place: run for run in plan.all_runs if run.variant == variant}
    if seed not in runs:
        given = f"no seed {seed!r} of" if seed else "a seed is missing after"
        raise AblationError(f"{given} {name}/{variant}. Seeds: {_some(list(runs))}.")
    return FoundRun(study.run(runs[seed].run_key), study, plan, runs[seed])


def _by_key(home: Path, text: str) -> FoundRun:
    studies = {
        path.parent.name: StudyDirectory(home, path.parent.name)
        for path in sorted(home.glob("*/plan.json"))
    }
    found = [run for study in studies.values() for run in _runs_of(study, text.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        candidates = _some([f"{run.name} ({run.directory.run_key})" for run in found], "\n  ")
        raise AblationError(
            f"{len(found)} runs have a key that begins with {text!r}:\n  {candidates}\n"
            "Give more of the key, or the name."
        )
    if text in studies:
        runs = studies[text].load_plan().all_runs
        names = _some([f"{text}/{run.variant}/{run.place}" for run in runs], "\n  ")
        raise AblationError(f"{text!r} is a study of {len(runs)} runs; name one:\n  {names}")
    hint = close_matches(text, studies)
    raise AblationError(
        f"no run under {home.resolve()} has a key that begins with {text!r}"
        f"{f' ({hint})' if hint else ''}. Studies there: {_some(list(studies)) or 'none'}. "
        f"{FORMS}; --home names another folder of studies."
    )


def _runs_of(study: StudyDirectory, beginning: str) -> Iterator[FoundRun]:
    """Runs of a study by the beginning of their keys: planned ones, and those of earlier plans."""
    plan = study.load_plan()
    keys = [run.run_key for run in plan.all_runs]
    folders = (path for path in (study.path / "runs").glob("*") if _is_run_directory(path))
    keys += sorted({path.name for path in folders} - set(keys))
    return (_in_study(study, plan, key) for key in keys if key.startswith(beginning))


def _some(names: Sequence[str], separator: str = ", ") -> str:
    """The first names, and how many more there are."""
    more = [f"and {len(names) - LISTED} more"] if len(names) > LISTED else []
    return separator.join([*names[:LISTED], *more])
