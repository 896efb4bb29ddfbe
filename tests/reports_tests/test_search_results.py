"""What reports say of a search: columns, sensitivity, edges, the fairness ledger."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from reports.analysis.comparison import compare
from reports.analysis.fairness import collect as collect_fairness
from reports.analysis.search_results import collect
from reports.build import ReportOptions, build_report
from reports.figures.drawing import PAGE, PAPER, draw_files
from reports.overview import collect_overview
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.sections.contents import SECTIONS
from studies.metrics import PARAMETERS, STEPS
from studies.records import Outcome
from tests.reports_tests.conftest import column_of
from tests.reports_tests.searched import INITIAL, RATE, searched
from tests.reports_tests.test_build import compile_tex

GRID = (1e-3, 3e-3, 1e-2, 3e-2)
BEST = {"layer": 3e-3, "rms": 1e-2}
NORMS = {"model.norm": ["layer", "rms"]}


def loss(variant, settings, seed):
    """A parabola over the logarithm of the rate; the highest rate diverges under layer norm."""
    rate = settings[RATE]
    if variant == "layer" and rate >= 3e-2:
        return None
    noise = np.random.default_rng([seed, int(1e6 * rate)]).normal(0, 0.01)
    return 2.0 + math.log10(rate / BEST[variant]) ** 2 + (0.1 if variant == "rms" else 0) + noise


def sweep(**search):
    kind = {"kind": "sweep", "values": {RATE: list(GRID)}, "seeds": 2, "extend": 0}
    return {"search": kind | search}


@pytest.fixture(scope="module")
def results() -> StudyResults:
    return searched(loss, factors=NORMS, seeds=3, protocol=sweep())


def test_compared_and_shared_runs_are_apart_from_those_of_the_search(results):
    assert len(results.runs) == 2 * 4 * 2 + 2 * 3 + 2 * 3
    for column, rates in (("compared", BEST), ("shared", dict.fromkeys(BEST, 1e-3))):
        part = getattr(results, column)
        assert set(part.runs["stage"]) == {"report"}
        for variant, rate in rates.items():
            runs = part.runs[part.runs["variant"] == variant]
            assert set(runs[RATE]) == {rate}
            assert sorted(runs["seed"]) == [0, 1, 2]
    assert len(results.compared.runs) == len(results.shared.runs) == 6
    assert list(results.compared.compared.runs["run_key"]) == list(results.compared.runs["run_key"])


def test_the_main_table_ranks_at_chosen_values_and_shows_the_shared_ones(results):
    data = compare(results)
    rows = {row.variant: row for row in data.rows}
    assert data.best is not None
    assert data.best.variant == "layer"
    assert rows["rms"].chosen.settings == {RATE: 1e-2}
    for variant, row in rows.items():
        expected = [loss(variant, {RATE: BEST[variant]}, seed) for seed in range(3)]
        shared = [loss(variant, {RATE: 1e-3}, seed) for seed in range(3)]
        assert row.loss.mean == pytest.approx(np.mean(expected))
        assert row.shared.mean == pytest.approx(np.mean(shared))
        assert row.outcomes[Outcome.COMPLETED] == 3
    difference = [loss("rms", {RATE: 1e-3}, s) - loss("layer", {RATE: 1e-3}, s) for s in range(3)]
    assert rows["rms"].shared_difference.mean == pytest.approx(np.mean(difference))
    table = SECTIONS["main"].render(data).tables[0]
    assert [c.text for c in column_of(table, "Chosen")][:2] == ["0.003", "0.01"]
    cell = column_of(table, "At shared values")[1]
    assert cell.detail == "SD 0.004; +0.872 [+0.872, +0.872]"
    assert cell.tex == "3.093(4); $+0.872$ $[+0.872,\\,+0.872]$"
    assert list(table.data["chosen_learning_rate"]) == [3e-3, 1e-2]
    assert "learning rate 0.001" in table.caption


def test_sensitivity_is_the_mean_above_the_lowest_with_divergence_as_the_initial_loss(results):
    rows = {row.variant: row for row in collect(results).rows}
    for variant, row in rows.items():
        clipped = np.array(
            [
                [INITIAL if (x := loss(variant, {RATE: rate}, seed)) is None else min(x, INITIAL)
                 for rate in GRID]
                for seed in (10000, 10001)
            ]
        )  # fmt: skip
        means = clipped.mean(axis=0)
        assert row.lowest == pytest.approx(means.min())
        assert row.sensitivity == pytest.approx(means.mean() - means.min())
        assert row.by_seed == pytest.approx(tuple(clipped.mean(axis=1) - clipped.min(axis=1)))
        assert row.initial == INITIAL
    assert rows["layer"].diverged == 2
    assert rows["layer"].sensitivity > rows["rms"].sensitivity


def test_sensitivity_never_stands_without_the_lowest_loss(results):
    table = SECTIONS["search"].render(collect(results)).tables[0]
    headings = [column.heading for column in table.columns]
    assert headings.index("S") == headings.index("l*") + 1
    assert {"sensitivity", "lowest_loss"} <= set(table.data.columns)


def test_a_rate_that_was_swept_with_other_keys_stands_with_their_best_values():
    def both(variant, settings, seed):
        return loss(variant, settings, 0) + settings["training.warmup_steps"] / 100

    values = {RATE: [1e-3, 1e-2], "training.warmup_steps": [0, 50]}
    search = {"kind": "sweep", "values": values, "seeds": 1, "extend": 0}
    row = collect(searched(both, factors=NORMS, seeds=2, protocol={"search": search})).rows[1]
    losses = [loss("rms", {RATE: rate}, 0) for rate in (1e-3, 1e-2)]
    assert row.sensitivity == pytest.approx(np.mean(losses) - min(losses))


def test_a_tuning_has_no_sensitivity():
    search = {"kind": "tune", "ranges": {RATE: {"low": 1e-3, "high": 1e-2}}, "trials": 6}
    data = collect(searched(loss, factors=NORMS, seeds=2, protocol={"search": search}))
    assert data.tried == 0
    assert all(math.isnan(row.sensitivity) for row in data.rows)
    exhibits = SECTIONS["search"].render(data)
    assert "S" not in [column.heading for column in exhibits.tables[0].columns]
    assert exhibits.figures


def test_a_search_that_is_not_done_says_so_and_compares_shared_values():
    results = searched(loss, rounds=0, factors=NORMS, seeds=2, protocol=sweep())
    assert not results.plan.choices
    data = compare(results)
    assert not data.tuned
    assert {row.loss.n for row in data.rows} == {2}
    assert "has not chosen all values yet" in SECTIONS["main"].render(data).sentences[0]
    assert "Still searching for 2 of 2" in " ".join(
        SECTIONS["search"].render(collect(results)).sentences
    )


def test_a_search_of_which_every_run_diverged_says_so():
    results = searched(
        lambda v, settings, seed: None if v == "layer" else 2.0,
        factors=NORMS, seeds=2, protocol=sweep(),
    )  # fmt: skip
    said = " ".join(SECTIONS["search"].render(collect(results)).sentences)
    assert "Every run of the search of LayerNorm diverged" in said


def test_edges_are_marked_in_every_table(tmp_path):
    results = searched(
        lambda v, settings, seed: 4 - settings[RATE], factors=NORMS, seeds=2, protocol=sweep()
    )
    main = SECTIONS["main"].render(compare(results))
    assert column_of(main.tables[0], "Chosen")[0].text == "0.03*"
    assert "* At the edge" in main.tables[0].caption
    search = SECTIONS["search"].render(collect(results))
    assert "lies at the edge of what was tried for LayerNorm, RMSNorm" in " ".join(search.sentences)
    ledger = SECTIONS["fairness"].render(collect_fairness(results)).tables[0]
    assert ledger.rows[0].cells[5].text == "4*"


def test_the_ledger_counts_search_and_report_runs(results):
    data = collect_fairness(results)
    [layer, rms] = data.accounts
    assert layer.trials == rms.trials == 4
    assert layer.wall_time_h == pytest.approx((4 * 2 + 3 + 3) * 36 / 3600)
    assert layer.seeds == 3
    assert layer.tokens == 1000 * 16 * 64
    assert data.ranges == {RATE: "0.001 to 0.03"}
    text = " ".join(SECTIONS["fairness"].render(data).sentences)
    assert "same budget in training tokens" in text
    assert "within 1.0% of the baseline in parameters" in text


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"factors": {"training.batch_size": [8, 16]}},
         "16 has 1,024,000. The batch size sets the budget, which is part of what is compared"),
        ({"factors": {"training.batch_size": [8, 16]}, "protocol": {"unequal_budgets": "why not."}},
         "Budgets differ on purpose: why not ("),
        ({"factors": {"model.n_layers": [2, 4]}}, "Not matched in parameters within 1.0% of"),
        ({"factors": {"model.n_layers": [2, 4]}, "protocol": {"match": "none"}}, "is not matched"),
        ({"factors": {"model.n_layers": [2, 4]}, "protocol": {"budget": {"flops": 1e12}}},
         "same budget in FLOPs"),
    ],
)  # fmt: skip
def test_what_is_unequal_is_said(raw, words):
    results = searched(lambda variant, settings, seed: 3.0, seeds=2, **raw)
    assert words in " ".join(SECTIONS["fairness"].render(collect_fairness(results)).sentences)


def test_pairing_is_told_as_the_runs_recorded_it():
    raw = {"factors": NORMS, "seeds": 2}
    plain = searched(lambda variant, settings, seed: 3.0, **raw)
    assert "is not known" in fairness_text(plain)
    same = {"training_data/1": "a", "evaluation_data": "e", "parameter/w": "2x2:aa"}
    paired = with_digests(plain, lambda run: same)
    text = fairness_text(paired)
    assert "all variants had the same training batches" in text
    assert "1 of 1 parameters that variants share" in text
    moved = {**same, "training_data/1": "b", "parameter/w": "2x2:bb"}
    unpaired = with_digests(plain, lambda run: moved if run.variant == "rms" else same)
    text = fairness_text(unpaired)
    assert "different training batches where they should have had the same: not paired" in text
    assert "0 of 1 parameters" in text
    assert "; w do not." in text
    partly = with_digests(plain, lambda run: same if run.seed == 0 else {})
    assert "2 compared runs left no digest" in fairness_text(partly)


def fairness_text(results):
    return " ".join(SECTIONS["fairness"].render(collect_fairness(results)).sentences)


def with_digests(results, digests_of):
    records = {
        key: record.model_copy(update={"digests": digests_of(record)})
        for key, record in results.records.items()
    }
    return dataclasses.replace(results, records=records)


def test_runs_of_a_search_that_diverged_are_listed_with_their_setting(results):
    fates = SECTIONS["unfinished"].collect(results).fates
    assert [f.seeds for f in fates if f.variant == "layer"] == [
        "10000 at learning rate 0.03, 10001 at learning rate 0.03"
    ]


def test_the_report_of_a_search_is_whole_and_the_same_twice(results, tmp_path):
    icml = ReportOptions(venue="icml")
    one, two = (build_report(results, tmp_path / name, icml) for name in "ab")
    document = one.tex.read_text()
    assert r"\input{tables/search.tex}" in document
    assert r"\input{figures/search.tex}" in document
    assert r"\begin{figure*}" in (tmp_path / "a" / "figures" / "search.tex").read_text()
    labels = compile_tex(one, tmp_path).with_suffix(".aux").read_text()
    assert r"\newlabel{fig:search}" in labels, "a figure over two columns is in the document"
    assert one.html.read_bytes() == two.html.read_bytes()
    assert one.tex.read_bytes() == two.tex.read_bytes()
    assert (tmp_path / "a" / "figures" / "search.csv").exists()
    for theme in (PAPER, PAGE):
        figure = SECTIONS["search"].render(collect(results)).figures[0]
        assert draw_files(figure.draw, theme, ["svg"])["svg"]


def test_sizes_are_those_that_the_runs_counted():
    results = searched(lambda variant, settings, seed: 3.0, seeds=2, factors=NORMS)
    counts = {"layer": 1000.0, "rms": 1030.0}
    counted = {
        key: record.model_copy(
            update={"summary": {**record.summary, PARAMETERS: counts[record.variant]}}
        )
        for key, record in results.records.items()
    }
    data = collect_fairness(dataclasses.replace(results, records=counted))
    assert data.accounts[1].size.deviation == pytest.approx(0.03)
    assert set(data.mismatched) == {"RMSNorm"}
    table = SECTIONS["fairness"].render(data).tables[0]
    assert table.rows[1].cells[1].text == "1\u202f030§"
    assert "§ Beyond the tolerance" in table.caption


def test_of_runs_of_minutes_the_tokens_are_those_that_they_saw():
    raw = {"factors": NORMS, "seeds": 2, "protocol": {"budget": {"minutes": 5}}}
    bare = searched(lambda variant, settings, seed: 3.0, **raw)
    assert all(math.isnan(account.tokens) for account in collect_fairness(bare).accounts)
    assert (
        SECTIONS["fairness"].render(collect_fairness(bare)).tables[0].rows[0].cells[3].text == "–"
    )
    records = {
        key: record.model_copy(
            update={"summary": {**record.summary, STEPS: 100 + 50 * record.seed}}
        )
        for key, record in bare.records.items()
    }
    results = assemble(bare.plan, records, {})
    data = collect_fairness(results)
    assert [account.tokens for account in data.accounts] == [125 * 16 * 64] * 2
    text = " ".join(SECTIONS["fairness"].render(data).sentences)
    assert "same budget in minutes of training (5 minutes, evaluations" in text
    assert "differ in their steps by up to 50%: the machine was not alike" in text
    caption = SECTIONS["main"].render(compare(results)).tables[0].caption
    assert "2 seeds, 5 minutes." in caption
    assert "differ in their steps by up to 50%" in caption
    facts = {fact.name: fact.value for fact in collect_overview(results).protocol}
    assert facts["budget"] == "5 minutes of training in steps of 16 × 64 tokens"


@pytest.mark.parametrize(("level", "in_reach"), [(4.0, False), (5.4, True)])
def test_the_loss_at_initialisation_does_not_stretch_the_axis_of_the_search(level, in_reach):
    found = searched(
        lambda v, settings, seed: level - 20 * settings[RATE], factors=NORMS, seeds=2,
        protocol=sweep(),
    )  # fmt: skip
    [figure] = SECTIONS["search"].render(collect(found)).figures
    [ax] = figure.draw(PAPER).axes
    assert (ax.get_ylim()[1] > INITIAL) == in_reach
    assert ("Dashed: loss at initialisation, the mean" in figure.caption) == in_reach
    assert (f"initialisation ({INITIAL:.2f}), which" in figure.caption) != in_reach


def test_choices_at_an_edge_are_marked_in_the_figure_of_the_search(results):
    found = searched(
        lambda v, settings, seed: 4 - settings[RATE] * (1 if v == "layer" else -1),
        factors=NORMS, seeds=2, protocol=sweep(extend=0),
    )  # fmt: skip
    inner = SECTIONS["search"].render(collect(results)).figures[0]
    outer = SECTIONS["search"].render(collect(found)).figures[0]
    marks = [[text.get_text() for ax in figure.draw(PAPER).axes for text in ax.texts].count("*")
             for figure in (inner, outer)]  # fmt: skip
    assert marks == [0, 2]
    assert "* At the edge of what was tried" in outer.caption
    assert "*" not in inner.caption
