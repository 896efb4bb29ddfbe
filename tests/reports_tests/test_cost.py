from dataclasses import replace
from pathlib import Path

import pytest

from reports.analysis.loss_by_cost import collect
from reports.figures.cost_panels import unit_for
from reports.figures.drawing import PAGE, PAPER, draw_files, themed
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections import cost, learning_curves
from reports.sections.main_table.section import SECTION as MAIN
from reports.words import OTHER_LOAD
from studies.budgets import tokens_per_step
from studies.metrics import EARLY_LOSS, FINAL_LOSS, FLOPS_PER_TOKEN, TOKENS_PER_S, TRAINING_TIME_S
from studies.records import Leak, Outcome, RunRecord
from tests.reports_tests.conftest import Synthetic, column_of, grid_study, write_study
from tests.reports_tests.searched import at_edge

SIZES = {"model.activation": ("relu", "gelu"), "model.d_model": (64, 128)}
UNMATCHED = {"match": "none"}


def changed(results: StudyResults, change) -> StudyResults:
    """The results with what `change` says of each record."""
    records = {key: change(record) for key, record in results.records.items()}
    found = assemble(results.plan, records, {})
    return replace(found, histories=results.histories)


def summed(record: RunRecord, **values: float) -> RunRecord:
    return record.model_copy(update={"summary": {**record.summary, **values}})


@pytest.fixture
def sizes(tmp_path: Path) -> StudyResults:
    plan = grid_study((0, 1, 2), SIZES, report={}, protocol=UNMATCHED)
    return load_study(write_study(tmp_path / "sizes", plan))


def test_rows_have_cost_and_losses(sizes: StudyResults) -> None:
    results = changed(
        sizes, lambda r: summed(r, **{EARLY_LOSS: 3.0 + r.seed, FLOPS_PER_TOKEN: 5e5})
    )
    data = collect(results)
    assert data.comparison.early == "at step 125"
    assert [row.variant for row in data.comparison.rows] == list(results.variants)
    for row in data.comparison.rows:
        assert row.early[:3] == (3, 4.0, 1.0)
        assert row.cost.flops_per_token == 5e5
        assert row.cost.steps_per_s == pytest.approx(41_000 / 1024, rel=0.05)
        assert len(data.runs[row.variant]) == 3
    assert data.figures == {}  # equal FLOPs, and no time was recorded


def test_the_front_is_of_ranked_variants_by_mean(sizes: StudyResults) -> None:
    losses = {"relu-64": 2.0, "gelu-64": 2.1, "relu-128": 1.9, "gelu-128": 1.8}
    names = dict(zip(sizes.variants, ("relu-64", "relu-128", "gelu-64", "gelu-128"), strict=True))

    def change(record: RunRecord) -> RunRecord:
        loss = losses[names[record.variant]] + 0.01 * record.seed
        leak = Leak.LEAKY if names[record.variant] == "gelu-128" else Leak.CAUSAL
        return summed(record, **{FINAL_LOSS: loss}).model_copy(update={"leak": leak})

    panels = collect(changed(sizes, change)).figures["flops"]
    assert [names[v] for v in panels.front["variant"]] == ["relu-64", "relu-128"]
    ranked = dict(zip(panels.means["variant"], panels.means["ranked"], strict=True))
    assert [names[v] for v, is_ranked in ranked.items() if not is_ranked] == ["gelu-128"]
    exhibits = cost.SECTION.exhibits(changed(sizes, change))
    assert exhibits is not None
    (figure,) = exhibits.figures
    assert "Hollow: not ranked." in figure.caption
    assert "Runs: 12 planned, 12 completed." in figure.caption
    assert set(figure.runs) == sizes.plan.run_keys
    assert figure.data.groupby("variant")["on_front"].first().sum() == 2
    for theme in (PAPER, PAGE, replace(PAPER, width_in=3.25)):
        assert b"<svg" in draw_files(figure.draw, theme, ["svg"])["svg"]


def test_hours_compare_on_one_machine_only(sizes: StudyResults) -> None:
    def timed(record: RunRecord) -> RunRecord:
        return summed(record, **{TRAINING_TIME_S: 10.0 * (1 + len(record.variant))})

    one = collect(changed(sizes, timed))
    assert one.comparison.machines == 1
    assert set(one.figures) == {"flops", "hours"}

    def elsewhere(record: RunRecord) -> RunRecord:
        host = {**record.provenance, "host": f"node-{record.seed}"}
        return timed(record).model_copy(update={"provenance": host})

    two = changed(sizes, elsewhere)
    assert set(collect(two).figures) == {"flops"}
    exhibits = cost.SECTION.exhibits(two)
    assert exhibits is not None
    assert "ran on 3 machines" in exhibits.sentences[0]


def timed_cost(sizes: StudyResults, seconds: float):
    """Exhibits where runs take so many seconds or more, those of longer names longer."""

    def timed(record: RunRecord) -> RunRecord:
        return summed(record, **{TRAINING_TIME_S: seconds * len(record.variant)})

    exhibits = cost.SECTION.exhibits(changed(sizes, timed))
    assert exhibits is not None
    return exhibits


def test_short_runs_are_not_ranked_by_time(sizes: StudyResults) -> None:
    for seconds, is_ranked in ((1.0, False), (100.0, True)):
        exhibits = timed_cost(sizes, seconds)
        text = " ".join(exhibits.sentences)
        flops, hours = exhibits.figures
        assert "cost in training FLOPs than" in text
        assert ("cost in time of training steps than" in text) == is_ranked
        assert ("are not ranked by time" in text) != is_ranked
        assert flops.data["on_front"].any()
        assert hours.data["on_front"].any() == is_ranked
        assert ("Dotted steps" in hours.caption) == is_ranked
        assert OTHER_LOAD in hours.caption
        assert OTHER_LOAD not in flops.caption


def test_speeds_have_one_number_of_decimals_and_the_range_of_runs(sizes: StudyResults) -> None:
    def paced(record: RunRecord) -> RunRecord:
        return summed(record, **{TOKENS_PER_S: 1024 * (24.0 + 2 * record.seed)})

    exhibits = cost.SECTION.exhibits(changed(sizes, paced))
    assert exhibits is not None
    (table,) = exhibits.tables
    cell = column_of(table, "Step/s")[0]
    assert (cell.text, cell.detail) == ("26.0", "24.0 to 28.0")
    assert cell.tex == "26.0 (24.0--28.0)"
    assert "Step/s: median (range) over completed runs. " + OTHER_LOAD in table.caption
    assert table.data["steps_per_s_most"].tolist() == pytest.approx([28.0] * 4)


def test_a_choice_at_an_edge_has_a_mark_beside_its_mean(sizes: StudyResults) -> None:
    exhibits = cost.SECTION.exhibits(at_edge(sizes, sizes.variants[2]))
    assert exhibits is not None
    (figure,) = exhibits.figures
    with themed(PAPER):
        texts = [t.get_text() for ax in figure.draw(PAPER).axes for t in ax.texts]
    assert texts.count("*") == 1
    assert "* At the edge" in figure.caption


def test_survivors_are_told_and_nothing_is_bold_but_as_in_the_main_table(
    grid: StudyResults,
) -> None:
    exhibits = cost.SECTION.exhibits(grid)
    assert exhibits is not None
    (table,) = exhibits.tables
    assert "A mean over survivors is not ranked." in table.caption
    assert "48 completed, 4 diverged, 1 failed, 3 missing." in table.caption
    main = MAIN.exhibits(grid)
    assert main is not None
    bold = [[row.cells[0].text for row in t.rows if row.cells[0].strong]
            for t in (table, main.tables[0])]  # fmt: skip
    assert bold[0] == bold[1]
    texts = {row.cells[0].text: row.cells for row in table.rows}
    assert texts["ReLU · no norm"][5].text == "–"
    assert texts["ReLU · no norm"][6].text == "0/2, 2 diverged"


def test_where_steps_differ_the_early_loss_is_at_a_share(tmp_path: Path) -> None:
    plan = grid_study((0,), {"training.max_steps": (100, 200)}, report={},
                      protocol={"unequal_budgets": "it is the question"})  # fmt: skip
    results = load_study(write_study(tmp_path / "study", plan))
    data = collect(changed(results, lambda record: summed(record, **{EARLY_LOSS: 3.0})))
    assert data.comparison.early == "at step 12 to 25, 0.125 of the steps of each variant"


def test_one_variant_and_no_run(tmp_path: Path) -> None:
    plan = grid_study((0,), {}, report={})
    fates = {(plan.cells[0].variant, 0): Outcome.MISSING}
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(fates)))
    exhibits = cost.SECTION.exhibits(results)
    assert exhibits is not None
    assert not exhibits.figures
    assert exhibits.tables[0].rows[0].cells[5].text == "–"


def test_curves_against_flops_where_these_differ(sizes: StudyResults, small: StudyResults) -> None:
    data = learning_curves.collect(sizes)
    assert data is not None
    assert data.by_flops is not None
    steps, flops = data.panels["val/loss"].lines, data.by_flops.lines
    for cell in sizes.plan.cells:
        factor = (cell.flops_per_token or 0) * tokens_per_step(cell.configuration)
        of = steps["variant"] == cell.variant
        assert list(flops[of]["x"]) == pytest.approx(list(steps[of]["x"] * factor))
    figures = learning_curves.render(data).figures
    assert [figure.name for figure in figures][-1] == "learning_curves_by_flops"
    assert figures[-1].data["training_flops"].max() == flops["x"].max()
    alike = learning_curves.collect(small)
    assert alike is not None
    assert alike.by_flops is None


@pytest.mark.parametrize(
    ("measure", "most", "label", "factor"),
    [
        ("flops", 2.7e13, "training TFLOPs", 1e-12),
        ("flops", 999, "training FLOPs", 1),
        ("flops", 3e20, "training EFLOPs", 1e-18),
        ("hours", 3, "hours of training steps", 1),
        ("hours", 0.5, "minutes of training steps", 60),
        ("hours", 0.001, "seconds of training steps", 3600),
    ],
)
def test_units_of_few_digits(measure: str, most: float, label: str, factor: float) -> None:
    unit = unit_for(measure, most)
    assert (unit.label, unit.factor) == (label, pytest.approx(factor))
