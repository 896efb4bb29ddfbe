import math
from dataclasses import replace
from pathlib import Path

import pytest

from reports.analysis.fairness import collect as collect_fairness
from reports.analysis.spending import run_costs, total
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.compute import SECTION, collect
from reports.words import si_text
from studies.metrics import FLOPS_PER_TOKEN, PEAK_MEMORY_GIB, STEPS
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic, grid_study, write_study
from tests.reports_tests.searched import RATE, searched

ONE = {"model.activation": ("relu", "gelu")}


def told(results: StudyResults, **summary: float) -> StudyResults:
    """The results with more in the summary and the facts of every record."""
    records = {
        key: record.model_copy(
            update={
                "summary": {**record.summary, **summary},
                "facts": {**record.facts, "device": "cpu"},
                "provenance": {**record.provenance, "cpus": 8},
            }
        )
        for key, record in results.records.items()
    }
    return replace(results, records=records)


def test_a_run_is_counted_by_its_steps(small: StudyResults) -> None:
    results = told(small, **{STEPS: 10.0, FLOPS_PER_TOKEN: 7.0, PEAK_MEMORY_GIB: 0.5})
    costs = run_costs(results)
    assert len(costs) == 12
    assert {cost.tokens for cost in costs} == {10 * 16 * 64}
    assert {cost.flops for cost in costs} == {7 * 10 * 16 * 64}
    assert {cost.device for cost in costs} == {"CPU, 8 cores"}
    data = collect(results)
    assert [(row.device, row.stage) for row in data.rows] == [
        ("CPU, 8 cores", "compared"),
        ("total", ""),
    ]
    last = data.rows[-1]
    assert last.hours == pytest.approx(12 * 12.5 / 3600)
    assert last.tokens.amount == 12 * 10240
    assert last.tokens.whole
    assert last.peak_memory_gib == 0.5
    assert len(last.runs) == 12


def test_without_steps_a_completed_run_made_those_of_the_plan(small: StudyResults) -> None:
    (tokens,) = {cost.tokens for cost in run_costs(small)}
    assert tokens == 1000 * 16 * 64


def test_what_is_not_known_is_told(tmp_path: Path) -> None:
    fates = {
        ("relu", 0): Outcome.FAILED,
        ("gelu", 0): Outcome.MISSING,
        ("gelu", 1): Outcome.PRUNED,
    }
    plan = grid_study((0, 1), ONE, report={})
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(fates)))
    costs = {(c.variant, c.outcome): c.tokens for c in run_costs(results)}
    assert math.isnan(costs["relu", Outcome.FAILED])
    assert costs["gelu", Outcome.PRUNED] == 0  # given up before it began
    data = collect(results)
    assert data.unrecorded == 1
    assert data.rows[-1].failed_hours == pytest.approx(12.5 / 3600)
    assert not data.rows[-1].tokens.whole
    exhibits = SECTION.exhibits(results)
    assert exhibits is not None
    (table,) = exhibits.tables
    assert "Without a record, and in no number: 1 planned runs." in table.caption
    assert "+ At least: some runs did not tell." in table.caption
    assert table.rows[-1].cells[6].text == "1.02 M+"
    assert table.rows[0].cells[0].text == "not known"


def test_devices_multiply_the_hours(small: StudyResults) -> None:
    study = small.plan.study
    four = study.model_copy(update={"execution": study.execution.model_copy(update={"devices": 4})})
    data = collect(replace(small, plan=small.plan.model_copy(update={"study": four})))
    assert data.rows[-1].device_hours == pytest.approx(4 * data.rows[-1].hours)


def test_a_study_without_runs_has_a_total_of_nothing(tmp_path: Path) -> None:
    fates = {(name, seed): Outcome.MISSING for name in ("relu", "gelu") for seed in (0, 1)}
    plan = grid_study((0, 1), ONE, report={})
    data = collect(load_study(write_study(tmp_path / "study", plan, Synthetic(fates))))
    assert [row.device for row in data.rows] == ["total"]
    assert math.isnan(data.rows[0].tokens.amount)


def test_the_ledger_counts_what_the_search_spent() -> None:
    search = {"kind": "sweep", "values": {RATE: [0.001, 0.003]}, "seeds": 2, "extend": 0}
    results = searched(
        lambda variant, settings, seed: 3.0 + settings[RATE],
        factors=ONE, seeds=2, protocol={"search": search},
        training={"learning_rate": 0.003},
    )  # fmt: skip
    assert {row.stage for row in collect(results).rows} == {"search", "compared", ""}
    for account in collect_fairness(results).accounts:
        # two rates on two seeds, then two seeds at the best and two at the shared rate
        assert account.tokens_in_all.amount == 8 * account.tokens


def test_a_sum_knows_whether_it_is_whole() -> None:
    assert total([1.0, 2.0]).whole
    assert total([1.0, 2.0]).amount == 3.0
    part = total([1.0, math.nan])
    assert (part.amount, part.whole) == (1.0, False)
    assert math.isnan(total([math.nan]).amount)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12, "12"),
        (999.4, "999"),
        (999.6, "1 k"),
        (61_440, "61.4 k"),
        (1.64e6, "1.64 M"),
        (9.9996e8, "1 G"),
        (1.2e25, "12 Y"),
        (math.nan, "–"),
    ],
)
def test_large_counts_are_short(value: float, text: str) -> None:
    assert si_text(value) == text
