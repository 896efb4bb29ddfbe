"""What a report says of fine-tuned models, from made-up records."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reports.analysis.downstream import collect
from reports.content import content_of
from reports.figures.drawing import PAPER
from reports.methods.finetuning import finetuning_sentences
from reports.references import as_text
from reports.results.assembly import assemble
from reports.sections.downstream.section import SECTION
from reports.writers.latex import table_tex
from reports.writers.markdown import table_md
from studies.metrics import FINAL_LOSS
from studies.planning import make_plan
from studies.records import Outcome, RunRecord
from studies.schema import Study
from studies.task_metrics import CONSTANT_SCORE, TASK_SCORE, TRUNCATED_PERCENT

ACTIVATIONS = ("relu", "gelu", "silu", "swiglu", "geglu")
SEEDS = (0, 1, 2)


def record_of(plan, run, outcome, summary):
    return RunRecord(
        run_key=run.run_key, study=plan.study.name, variant=run.variant, seed=run.seed, levels={},
        attempt=0, outcome=outcome, summary=summary if outcome is Outcome.COMPLETED else {},
    )  # fmt: skip


@pytest.fixture
def study(tmp_path):
    """Makes the results of a study; `score` gives that of a run, None where it diverged."""

    def make(score, *, factors=None, loss=lambda run: 2.0, **finetuning):
        (tmp_path / "data").mkdir(exist_ok=True)
        for name in ("train", "test"):
            (tmp_path / "data" / f"{name}.tsv").write_text("a\t0\nb\t1\n")
        task = {
            "form": "classification", "source": str(tmp_path / "data"), "train": "train.tsv",
            "evaluation": "test.tsv", "header": False, "texts": ["1"], "label": "2",
            "labels": ["0", "1"], "metric": "accuracy",
        }  # fmt: skip
        plan = make_plan(
            Study.model_validate(
                {
                    "name": "downstream",
                    "factors": factors or {"model.activation": ACTIVATIONS[:2]},
                    "seeds": SEEDS,
                    "finetuning": {"tasks": {"sst2": task, "own": task}, **finetuning},
                }
            )
        )
        records = {
            run.run_key: record_of(plan, run, Outcome.COMPLETED, {FINAL_LOSS: loss(run)})
            for run in plan.runs
        }
        for run in plan.finetuning_runs:
            value = score(run)
            outcome = Outcome.DIVERGED if value is None else Outcome.COMPLETED
            summary = {TASK_SCORE: value, CONSTANT_SCORE: 0.5, TRUNCATED_PERCENT: 12.34}
            records[run.run_key] = record_of(plan, run, outcome, summary)
        return assemble(plan, records, {})

    return make


def value(run):
    """Better for gelu on one task, by an amount that differs by seed."""
    gain = (0.1 + 0.01 * run.seed) * (run.variant == "gelu" and run.task == "sst2")
    return 0.6 + 0.02 * run.seed + gain


def test_a_study_of_one_stage_has_no_section(study):
    results = study(value)
    alone = assemble(results.plan.without_finetuning(), results.records, {})
    assert SECTION.exhibits(alone) is None
    assert finetuning_sentences(alone) == ()


def test_scores_are_means_over_seeds_with_their_interval(study):
    data = collect(study(value))
    gelu = data.rows[1]
    assert [task.label for task in data.tasks] == ["SST-2", "own"]
    score = gelu.by_task["sst2"]
    expected = np.array([0.7, 0.73, 0.76])
    assert score.scores.mean == pytest.approx(expected.mean())
    assert (score.scores.n, score.planned, score.lost) == (3, 3, 0)
    table = SECTION.exhibits(study(value)).tables[0]
    half = stats.t.ppf(0.975, 2) * expected.std(ddof=1) / math.sqrt(3)
    cell = table.rows[1].cells[1]
    assert cell.text == f"{100 * expected.mean():.1f} ± {100 * half:.1f}"
    assert cell.detail == "n = 3"
    assert table.rows[-1].cells[1].text == "50.0"
    assert table.data.loc[1, "sst2_half_width"] == pytest.approx(half)
    assert "SST-2: 12.3 %" in table.caption


def test_differences_are_paired_by_seed_and_adjusted(study):
    data = collect(study(value))
    relu, gelu = data.rows
    assert (relu.reference, gelu.reference) == ("", "ReLU")
    assert relu.by_task["sst2"].difference is None
    gains = np.array([0.10, 0.11, 0.12])
    found = gelu.by_task["sst2"]
    assert found.difference.mean == pytest.approx(gains.mean())
    p = stats.ttest_1samp(gains, 0).pvalue
    assert found.adjusted_p == pytest.approx(2 * p)  # two tasks
    assert gelu.by_task["own"].difference.mean == pytest.approx(0)
    exhibits = SECTION.exhibits(study(value))
    assert exhibits.sentences[0].startswith(
        "Of 2 differences in score, 1 is detected at 0.05 after Holm's adjustment: SST-2, GELU "
        "against ReLU: +11.0 (p ="
    )


def test_what_was_lost_is_counted_and_no_seed_is_made_up(study):
    results = study(lambda run: None if (run.variant, run.seed) == ("gelu", 1) else value(run))
    data = collect(results)
    score = data.rows[1].by_task["sst2"]
    assert (score.scores.n, score.planned, score.lost) == (2, 3, 1)
    assert score.difference.n == 2
    table = SECTION.exhibits(results).tables[0]
    assert table.rows[1].cells[1].detail == "n = 2 of 3"
    assert "2 fine-tunings diverged, failed or did not run" in table.caption
    assert "n = 2 of 3" in table_tex(table)


def test_fine_tunings_of_one_model_are_one_value(study):
    results = study(lambda run: value(run) + 0.1 * (run.finetuning_seed - 1), seeds=(0, 1, 2))
    data = collect(results)
    assert data.rows[1].by_task["sst2"].scores.n == 3
    assert data.rows[1].by_task["sst2"].scores.mean == pytest.approx(0.73)
    partly = study(
        lambda run: None if run.finetuning_seed == 2 and run.seed == 0 else value(run),
        seeds=(0, 1, 2),
    )
    assert collect(partly).rows[1].by_task["sst2"].scores.n == 2
    assert "each the mean of 3 fine-tunings" in SECTION.exhibits(partly).tables[0].caption


ARMS = {"model.activation": ACTIVATIONS[:2], "finetuning.pretrained": (True, False)}


def test_another_way_of_fine_tuning_is_compared_within_its_variant(study):
    data = collect(study(value, factors=ARMS))
    assert [(row.label, row.reference) for row in data.rows] == [
        ("ReLU · pretrained on", ""),
        ("ReLU · pretrained off", "ReLU · pretrained on"),
        ("GELU · pretrained on", "ReLU · pretrained on"),
        ("GELU · pretrained off", "GELU · pretrained on"),
    ]


def test_one_variant_is_told_apart_by_how_it_is_fine_tuned(study):
    data = collect(study(value, factors={"finetuning.auxiliary_weight": (0.5, 0)}))
    assert [row.label for row in data.rows] == ["auxiliary weight 0.5", "auxiliary weight 0"]


def ranked(run):
    return 0.5 + 0.05 * ACTIVATIONS.index(run.variant)


def test_the_loss_foretells_the_score_where_the_order_is_the_same(study):
    results = study(
        ranked, factors={"model.activation": ACTIVATIONS}, loss=lambda run: 3 - ranked(run)
    )
    data = collect(results)
    assert [c.rho for c in data.correlations] == pytest.approx([-1, -1])
    assert data.correlations[0].variants == 5
    assert data.correlations[0].p == pytest.approx(2 / math.factorial(5))
    [table] = [t for t in SECTION.exhibits(results).tables if t.name == "loss_and_score"]
    assert [cell.text for cell in table.rows[0].cells] == ["SST-2", "−1.00", "0.017", "5"]
    assert "spearman" in SECTION.exhibits(results).methods


def test_a_seed_without_a_score_has_no_loss_in_the_correlation(study):
    """The one that is lost had the loss that changes the order."""
    factors = {"model.activation": ACTIVATIONS[:4]}

    def loss(run):
        return 3 - ranked(run) + 9 * ((run.variant, run.seed) == ("swiglu", 1))

    def score(run):
        return None if (run.variant, run.seed) == ("swiglu", 1) else ranked(run)

    kept = collect(study(ranked, factors=factors, loss=loss))
    assert kept.correlations[0].rho == pytest.approx(0.2)
    lost = collect(study(score, factors=factors, loss=loss))
    assert lost.correlations[0].rho == pytest.approx(-1)
    assert len([model for model in lost.models if model.task == "own"]) == 4 * 3 - 1


def test_scores_are_drawn_against_losses_on_scales_of_their_own(study):
    def score(run):
        return (1 if run.task == "own" else 0.5) * ranked(run)

    factors = {"model.activation": ACTIVATIONS}
    results = study(score, factors=factors, loss=lambda run: 3 - ranked(run) + run.seed / 100)
    [figure] = SECTION.exhibits(results).figures
    assert len(figure.data) == 2 * 5 * 3
    assert set(figure.runs) == {run.run_key for run in results.plan.all_runs}
    drawn = figure.draw(PAPER)
    axes = drawn.axes[:2]
    assert [ax.get_title() for ax in axes] == ["SST-2", "own"]
    assert [ax.texts[0].get_text().replace("\xa0", " ") for ax in axes] == ["ρ = −1.00"] * 2
    assert axes[0].get_ylim() != axes[1].get_ylim()
    means = [line for line in axes[1].lines if len(line.get_xdata()) == 1]
    assert [line.get_ydata()[0] for line in means] == pytest.approx([50, 55, 60, 65, 70])
    assert [line.get_xdata()[0] for line in means] == pytest.approx([2.51, 2.46, 2.41, 2.36, 2.31])
    assert not SECTION.exhibits(study(value)).figures


def test_variants_of_two_factors_are_told_apart_in_one_panel(study):
    factors = {"model.activation": ACTIVATIONS[:2], "model.norm": ("layer", "rms", "none")}
    layout = collect(study(value, factors=factors)).layout
    assert len({(style.color, style.marker) for style in layout.styles.values()}) == 6
    assert len(layout.legend) == 6


def test_few_variants_are_not_correlated_and_it_is_said(study):
    exhibits = SECTION.exhibits(study(value))
    assert exhibits.sentences[-1] == (
        "Whether the loss foretells the score is not asked of 2 variants: it takes 4 that have "
        "both."
    )


def test_equal_losses_have_no_order(study):
    results = study(ranked, factors={"model.activation": ACTIVATIONS})
    assert all(math.isnan(c.rho) for c in collect(results).correlations)
    [table] = [t for t in SECTION.exhibits(results).tables if t.name == "loss_and_score"]
    assert table.rows[0].cells[1].text == "–"


def test_every_run_is_listed_and_in_the_manifest(study):
    results = study(lambda run: None if run.task == "own" else value(run))
    table = SECTION.exhibits(results).tables[-1]
    assert table.name == "finetuning_runs"
    assert len(table.rows) == 12
    assert "6 completed, 6 diverged" in table.caption.replace(" and", ",")
    assert table_md(table)
    runs = content_of(results).runs
    assert {run.run_key for run in results.plan.all_runs} == set(runs)
    child = runs[results.plan.finetuning_runs[0].run_key]
    assert child["parent"] == results.plan.runs[0].run_key
    assert child["record"]


def test_every_number_leads_to_its_runs_and_is_set_in_latex(study):
    factors = {"model.activation": ACTIVATIONS}
    results = study(ranked, factors=factors, loss=lambda run: 3 - ranked(run))
    exhibits = SECTION.exhibits(results)
    scores, differences, correlations, listed = exhibits.tables
    both = {run.run_key for run in results.plan.finetuning_runs}
    own = [{r.run_key for r in results.plan.finetuning_runs if r.variant == v} for v in ACTIVATIONS]
    assert [set(row.runs) for row in scores.rows] == [*own, both]
    assert [set(row.runs) for row in differences.rows] == [own[0] | other for other in own[1:]]
    parents = {run.run_key for run in results.plan.runs}
    assert parents < set(correlations.rows[0].runs) < parents | both
    assert [row.runs for row in listed.rows] == [(r.run_key,) for r in results.plan.finetuning_runs]
    for table in exhibits.tables:
        assert "U+" not in table_tex(table)


def test_the_methods_say_how(study):
    first, how = map(as_text, finetuning_sentences(study(value, factors=ARMS, epochs=1)))
    assert "SST-2 (Socher et al. 2013) (classification, accuracy) and own" in first
    assert "Radford et al. 2018" in first
    assert "Fine-tuning takes 1 epoch in batches of 32" in how
    assert "learning rate 6.25e-05" in how
    assert how.endswith("varied: pretrained (on, off).")
