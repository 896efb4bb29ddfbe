"""What reports say of pruned runs: counted, marked, never ranked and in no mean."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from reports.analysis.comparison import compare
from reports.analysis.fairness import collect as collect_fairness
from reports.analysis.search_results import collect
from reports.build import build_report
from reports.figures.drawing import PAGE, draw_files
from reports.overview import collect_overview
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.sections.contents import SECTIONS
from reports.words import OUTCOME_MARKS
from studies.metrics import INITIAL_LOSS, LAST_VALIDATION_LOSS, PRUNED_AT_STEP
from studies.plan import PlannedRun
from studies.records import Outcome, RunRecord
from tests.reports_tests.searched import INITIAL, RATE, searched

NORMS = {"model.norm": ["layer", "rms"]}
SWEEP = {"kind": "sweep", "values": {RATE: [1e-3, 3e-3, 1e-2]}, "seeds": 2, "extend": 0}


def pruned(record: RunRecord, step: int | None, last: float) -> RunRecord:
    """The run as it is where it was ended at a step, or given up before it began."""
    summary = {INITIAL_LOSS: INITIAL, LAST_VALIDATION_LOSS: last, PRUNED_AT_STEP: float(step or 0)}
    summary = {} if step is None else summary
    return record.model_copy(update={"outcome": Outcome.PRUNED, "summary": summary})


def study(stage: str, ends: Callable[[PlannedRun], bool], **pruning) -> StudyResults:
    """Layer norm at 2.0, RMS norm at 1.0, by the rate; some runs pruned at step 40 and low."""

    def loss(variant, settings, seed):
        return (2.0 if variant == "layer" else 1.0) + 10 * settings[RATE] + 0.01 * (seed % 10)

    protocol = {"search": SWEEP, "pruning": {"stage": stage, **pruning}}
    whole = searched(loss, factors=NORMS, seeds=3, protocol=protocol)
    runs = {run.run_key: run for run in whole.plan.runs}
    records = {
        key: pruned(record, 40, 0.5) if ends(runs[key]) else record
        for key, record in whole.records.items()
    }
    return assemble(whole.plan, records, {})


@pytest.fixture(scope="module")
def report_stage() -> StudyResults:
    return study(
        "report",
        lambda run: (run.variant, run.seed) == ("rms", 2),
        pruner="percentile",
        options={"percentile": 25.0},
    )


@pytest.fixture(scope="module")
def search_stage() -> StudyResults:
    return study(
        "search",
        lambda run: run.variant == "layer" and run.settings.get(RATE) == 3e-3 and run.seed == 10001,
    )


def test_a_variant_with_pruned_runs_is_not_ranked_however_low(report_stage):
    data = compare(report_stage)
    rows = {row.variant: row for row in data.rows}
    assert rows["rms"].loss.mean < rows["layer"].loss.mean
    assert rows["rms"].loss.n == 2
    assert not rows["rms"].ranked
    assert rows["rms"].to_best is None
    assert data.best is rows["layer"]
    assert rows["rms"].marks == (Outcome.COMPLETED, Outcome.COMPLETED, Outcome.PRUNED)


def test_the_main_table_says_what_was_pruned(report_stage, search_stage):
    exhibits = SECTIONS["main"].render(compare(report_stage))
    caption = exhibits.tables[0].caption
    assert "diverged, failed or pruned runs shows the mean of its survivors" in caption
    assert "1 pruned." in caption
    assert "Not ranked, because runs were pruned: RMSNorm." in exhibits.sentences
    assert "2/3, 1 pruned" in str(exhibits.tables[0].rows)
    other = SECTIONS["main"].render(compare(search_stage))
    assert "pruned" not in other.tables[0].caption + " ".join(other.sentences)


def test_a_pruned_trial_leaves_no_sensitivity_and_no_mark_on_the_lowest(search_stage):
    data = collect(search_stage)
    assert data is not None
    rows = {row.variant: row for row in data.rows}
    assert rows["layer"].pruned == 1
    assert math.isnan(rows["layer"].sensitivity)
    assert rows["layer"].lowest == pytest.approx(2.0 + 0.01 + 0.005)
    assert rows["rms"].pruned == 0
    assert rows["rms"].sensitivity > 0
    table = SECTIONS["search"].render(data).tables[0]
    assert "Pruned" in [column.heading for column in table.columns]
    assert "Pruned runs were ended early" in table.caption
    assert "1 pruned." in table.caption


def test_a_choice_among_pruned_trials_is_marked():
    whole = study("search", lambda run: run.variant == "layer" and run.stage == "search")
    plan = whole.plan
    choice = plan.choices["layer"].model_copy(update={"pruned": True})
    marked = plan.model_copy(update={"choices": {**plan.choices, "layer": choice}})
    data = collect(assemble(marked, whole.records, {}))
    assert data is not None
    exhibits = SECTIONS["search"].render(data)
    assert "Every trial of LayerNorm was pruned or trained to no avail" in " ".join(
        exhibits.sentences
    )
    lowest = [row.cells[2].text for row in exhibits.tables[0].rows]
    assert lowest[0].startswith("0.5")
    assert [OUTCOME_MARKS[Outcome.PRUNED] in text for text in lowest] == [True, False]


def test_pruned_runs_are_drawn_apart_and_are_in_no_mean(search_stage):
    data = collect(search_stage)
    assert data is not None
    figure = SECTIONS["search"].render(data).figures[0]
    assert "Half circles: pruned runs at their last loss, in no mean." in figure.caption
    assert draw_files(figure.draw, PAGE, ["svg"])["svg"]


def test_unfinished_runs_name_the_step(report_stage, search_stage):
    def seeds(results: StudyResults) -> list[tuple[str, str]]:
        fates = SECTIONS["unfinished"].collect(results).fates
        return [(fate.variant, fate.seeds) for fate in fates]

    [fate] = seeds(search_stage)
    assert fate == ("layer", "10001 at learning rate 0.003 (step 40)")
    assert dict(seeds(report_stage))["rms"] == "2 at learning rate 0.001 (step 40)"
    records = {
        key: pruned(record, None, 0.0) if record.outcome is Outcome.PRUNED else record
        for key, record in search_stage.records.items()
    }
    [fate] = seeds(assemble(search_stage.plan, records, {}))
    assert fate == ("layer", "10001 at learning rate 0.003 (before its first step)")


def test_protocol_and_fairness_name_the_pruner_and_count(report_stage, search_stage):
    def fact(results: StudyResults) -> str:
        facts = {fact.name: fact.value for fact in collect_overview(results).protocol}
        return facts["pruning"]

    assert fact(search_stage) == "runs of the search, by median (Optuna): 1 pruned"
    assert fact(report_stage) == "compared runs, by percentile (Optuna, percentile 25): 1 pruned"
    sentences = SECTIONS["fairness"].render(collect_fairness(search_stage)).sentences
    assert "1 run was pruned and spent less than the budget." in sentences


def test_without_pruning_nothing_is_said_of_it():
    results = searched(lambda *_: 2.0, factors=NORMS, seeds=2, protocol={"search": SWEEP})
    assert "pruning" not in {fact.name for fact in collect_overview(results).protocol}
    said = SECTIONS["fairness"].render(collect_fairness(results)).sentences
    assert "pruned" not in " ".join(said)
    data = collect(results)
    assert data is not None
    table = SECTIONS["search"].render(data).tables[0]
    assert "Pruned" not in [column.heading for column in table.columns]
    assert "pruned" not in table.caption.lower()


def test_a_report_with_pruned_runs_is_whole(search_stage, tmp_path, undrawn):
    report = build_report(search_stage, tmp_path)
    assert "10001 at learning rate 0.003 (step 40)" in report.html.read_text()
