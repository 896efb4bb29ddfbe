"""What a report says, of one study or of several, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.exhibits import Exhibits
from reports.joined_overview import collect_joined_overview
from reports.links import JoinedLinks, Links, RunLinks
from reports.overview import Overview, collect_overview, provenance_values
from reports.results.frame import StudyResults
from reports.results.joined import JoinedResults, qualified
from reports.sections import methods
from reports.sections.contents import SECTIONS
from reports.sections.joined import methods as joined_methods
from reports.sections.joined.contents import joined_sections
from studies.plan import PlannedRun
from studies.records import Outcome
from studies.run_spec import digest

Sections = list[tuple[str, str, Exhibits]]
"""Name, title and exhibits of each section."""


@dataclass(frozen=True)
class Content:
    """Head and sections of a report, and what its manifest says of the runs behind them."""

    name: str
    """Of the study, or of the studies: numbers are called by it."""
    head: Overview
    sections: Sections
    identity: Mapping[str, Any]
    """What the manifest begins with: which studies, as they were planned and registered."""
    runs: Mapping[str, Mapping[str, Any]]
    """Every planned run by what rows and figures call it."""
    provenance: Mapping[str, Mapping[str, int]]


def content_of(
    results: StudyResults | JoinedResults,
    links: Links | None = None,
    pages: Mapping[str, str] | None = None,
) -> Content:
    """The content of the report of a study, or of several.

    Args:
        results: what is known about the runs.
        links: where they are in the MLflow UI.
        pages: study to the address of its own report, for those of several that have one.
    """
    if isinstance(results, JoinedResults):
        joined = links if isinstance(links, JoinedLinks) else None
        return _of_studies(results, joined, pages or {})
    return _of_study(results, links if isinstance(links, RunLinks) else None)


def _of_study(results: StudyResults, links: RunLinks | None) -> Content:
    sections: Sections = []
    for name, section in SECTIONS.items():
        exhibits = section.exhibits(results)
        if exhibits is not None:
            sections.append((name, section.title, exhibits))
    whole = methods.methods_exhibits(results, [exhibits for _, _, exhibits in sections])
    return Content(
        name=results.plan.study.name,
        head=collect_overview(results),
        sections=[*sections, (methods.NAME, methods.TITLE, whole)],
        identity=_identity(results, links),
        runs={run["run_key"]: run for run in _runs(results, links)},
        provenance=provenance_values(results.records.values()),
    )


def _of_studies(
    joined: JoinedResults, links: JoinedLinks | None, pages: Mapping[str, str]
) -> Content:
    known = links.studies if links else {}
    sections = joined_sections(joined, pages)
    whole = joined_methods.methods_exhibits(joined, [exhibits for _, _, exhibits in sections])
    studies = {results.plan.study.name: results for results in joined.studies}
    return Content(
        name=joined.name,
        head=collect_joined_overview(joined),
        sections=[*sections, (methods.NAME, methods.TITLE, whole)],
        identity={
            "study": joined.name,
            "studies": [_identity(found, known.get(name)) for name, found in studies.items()],
        },
        runs={
            qualified(name, run["run_key"]): {"study": name, **run}
            for name, found in studies.items()
            for run in _runs(found, known.get(name))
        },
        provenance=provenance_values(joined.records.values()),
    )


def _identity(results: StudyResults, links: RunLinks | None) -> dict[str, Any]:
    plan = results.plan
    return {
        "study": plan.study.name,
        "study_digest": digest(plan.study.model_dump(mode="json")),
        "baseline": plan.baseline,
        "registration_digest": results.registration.digest if results.registration else None,
        "mlflow": links and {"ui_url": links.ui_url, "experiment_id": links.experiment_id},
    }


def _runs(results: StudyResults, links: RunLinks | None) -> list[dict[str, Any]]:
    """Every planned run, with the commit that it was trained by and its MLflow run."""
    columns = ["run_key", "variant", "seed", "stage", "outcome"]
    found: list[dict[str, Any]] = [
        {str(name): value for name, value in run.items()}
        for run in results.runs[columns].to_dict("records")
    ]
    found += [_finetuning(results, run) for run in results.plan.finetuning_runs]
    records = {**results.records, **results.finetunings}
    for run in found:
        record = records.get(run["run_key"])
        git = record.provenance.get("git") if record else None
        run["mlflow_run_id"] = links.run_ids.get(run["run_key"]) if links else None
        run["record"] = record and digest(record.model_dump(mode="json"))
        run["git_commit"] = git.get("commit") if isinstance(git, Mapping) else None
    return found


def _finetuning(results: StudyResults, run: PlannedRun) -> dict[str, Any]:
    """A run that fine-tunes, as `_runs` names them."""
    record = results.finetunings.get(run.run_key)
    outcome = record.outcome if record else Outcome.MISSING
    named = {"run_key": run.run_key, "variant": run.variant, "seed": run.seed, "stage": run.stage}
    return {**named, "outcome": outcome.value, "task": run.task, "parent": run.parent}
