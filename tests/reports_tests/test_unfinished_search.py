"""What reports say while a search goes on: nothing of it reads as if it were final."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.analysis.comparison import compare
from reports.analysis.search_results import collect
from reports.build import build_report
from reports.content import content_of
from reports.overview import collect_overview
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.results.sources import load_study, read_history
from reports.sections.contents import SECTIONS
from reports.sections.search import PROVISIONAL_MARK
from studies.records import Outcome
from studies.run_list import with_runs
from tests.reports_tests.conftest import write_study
from tests.reports_tests.searched import RATE, searched

NORMS = {"model.norm": ["layer", "rms"]}
SWEEP = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3, 1e-2]}, "seeds": 2, "extend": 0}
TUNE = {"kind": "tune", "ranges": {RATE: {"low": 1e-3, "high": 1e-2}}, "trials": 12, "seeds": 1}


def study(search: dict[str, object], rounds: int = 50) -> StudyResults:
    def loss(variant, settings, seed):
        return (2.0 if variant == "layer" else 1.0) + 10 * settings[RATE]

    return searched(loss, rounds=rounds, factors=NORMS, seeds=2, protocol={"search": search})


def waiting(results: StudyResults, variant: str) -> StudyResults:
    """The study while a variant has no choice."""
    choices = {v: choice for v, choice in results.plan.choices.items() if v != variant}
    plan = with_runs(results.plan.model_copy(update={"choices": choices, "runs": ()}))
    return assemble(plan, results.records, {})


def text_of(name: str, results: StudyResults) -> str:
    exhibits = SECTIONS[name].render(SECTIONS[name].collect(results))
    return " ".join([*exhibits.sentences, *(table.caption for table in exhibits.tables)])


@pytest.mark.parametrize("batches", [1, 2])
def test_between_batches_of_a_tuning_a_report_is_partial(batches, tmp_path, undrawn):
    results = study(TUNE, rounds=batches)
    overview = collect_overview(results)
    runs = 2 * 4 * batches + 2 * 2
    assert overview.outcomes[Outcome.COMPLETED] == runs
    assert overview.partial
    more = "the search has not ended and may ask for more"
    assert overview.progress == f"{runs} of {runs} runs finished; {more}"
    assert overview.design.endswith(f"{runs} runs so far, {8 * batches} of them of the search")
    assert "Partial report." in build_report(results, tmp_path).html.read_text()


def test_a_report_of_a_search_that_has_ended_is_not_partial():
    overview = collect_overview(study(SWEEP))
    assert not overview.partial
    assert "search" not in overview.progress
    assert "so far" not in overview.design


def test_trials_are_counted_so_far_and_the_lowest_loss_is_provisional():
    results = study(TUNE, rounds=1)
    assert "4 of 12 trials so far" in text_of("search", results)
    assert "Still searching for 2 of 2 variants: their l* may change." in text_of("search", results)
    assert f"{PROVISIONAL_MARK} So far" in text_of("search", results)
    table = SECTIONS["search"].render(collect(results)).tables[0]
    assert all(row.cells[2].text.endswith(PROVISIONAL_MARK) for row in table.rows)
    assert [row.cells[3].text for row in table.rows] == ["4 of 12", "4 of 12"]
    assert list(table.data["provisional"]) == [True, True]


def test_trials_that_are_still_running_are_not_among_those_so_far():
    results = study(TUNE, rounds=1)
    runs = {run.run_key: run for run in results.plan.runs}
    trial = next(trial for trial in results.plan.trials if trial.variant == "rms")
    records = {
        key: record
        for key, record in results.records.items()
        if (runs[key].variant, runs[key].settings) != ("rms", trial.settings)
    }
    data = collect(assemble(results.plan, records, {}))
    assert data is not None
    assert [(row.trials, row.ended) for row in data.rows] == [(4, 4), (4, 3)]
    sentences = SECTIONS["search"].render(data).sentences
    assert "3 to 4 of 12 trials so far" in sentences[0]


def test_of_a_sweep_without_choices_the_sensitivity_is_provisional_too():
    results = waiting(study(SWEEP), "rms")
    data = collect(results)
    assert data is not None
    [layer, rms] = SECTIONS["search"].render(data).tables[0].rows
    assert not any(PROVISIONAL_MARK in cell.text for cell in layer.cells)
    assert [cell.text.endswith(PROVISIONAL_MARK) for cell in rms.cells[2:4]] == [True, True]
    assert "their l* and S may change" in text_of("search", results)


def test_nothing_is_provisional_once_a_search_has_ended():
    text = text_of("search", study(SWEEP))
    assert PROVISIONAL_MARK not in text
    assert "so far" not in text.lower()
    assert "by a sweep, 3 trials on" in text


def test_captions_say_that_runs_are_still_to_be_asked_for():
    results = waiting(study(SWEEP), "rms")
    assert [row.outcomes[Outcome.COMPLETED] for row in compare(results).rows] == [2, 0]
    told = "Runs: 2 planned so far, 2 completed; the search has not ended and may ask for more."
    for name in ("main", "fairness"):
        assert text_of(name, results).endswith(told)
    assert told.partition(";")[2] in text_of("search", results)
    for name in ("main", "fairness", "search"):
        assert "ask for more" not in text_of(name, study(SWEEP))


def test_the_runs_of_one_seed_are_told_apart_by_their_settings():
    results = study(SWEEP)
    plan = results.plan.model_copy(
        update={
            "choices": {
                variant: choice.model_copy(update={"settings": {RATE: 3e-3}})
                for variant, choice in results.plan.choices.items()
            }
        }
    )
    fates = SECTIONS["unfinished"].collect(assemble(with_runs(plan), {}, {})).fates
    [layer, _] = fates
    assert layer.seeds.endswith(
        "0 at learning rate 0.003, 1 at learning rate 0.003, "
        "0 at learning rate 0.001, 1 at learning rate 0.001"
    )


def test_the_whole_report_of_a_search_that_goes_on_says_so(tmp_path, undrawn):
    results = study(SWEEP, rounds=0)
    assert "may ask for more" in build_report(results, tmp_path).tex.read_text()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with curves whose search has ended."""
    return write_study(tmp_path_factory.mktemp("swept"), study(SWEEP).plan)


@pytest.mark.parametrize("chosen", [(), ("layer",), ("layer", "rms")])
@pytest.mark.parametrize("ended", ["none", "one of the search", "search", "one compared", "all"])
def test_at_every_stage_of_a_study_there_is_a_report(directory, chosen, ended):
    results = load_study(directory)
    choices = {v: choice for v, choice in results.plan.choices.items() if v in chosen}
    plan = with_runs(results.plan.model_copy(update={"choices": choices, "runs": ()}))
    searching = [run.run_key for run in plan.runs if run.stage == "search"]
    compared = [run.run_key for run in plan.runs if run.stage != "search"]
    keys = {
        "none": [],
        "one of the search": searching[:1],
        "search": searching,
        "one compared": [*searching, compared[0]],
        "all": [*searching, *compared],
    }[ended]
    records = {key: results.records[key] for key in keys}
    runs = directory / "runs"
    histories = {key: read_history(runs / key / "history.parquet") for key in keys}
    sections = content_of(assemble(plan, records, histories)).sections
    text = " ".join(sentence for _, _, found in sections for sentence in found.sentences)
    assert "nan" not in text.split()
