"""What the paragraph on methods says of runs: placement, divergence, leaks, search, devices."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest

from reports.references import as_tex
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.sections.joined.methods import methods_exhibits as joined_methods
from reports.sections.methods import methods_exhibits
from studies.records import Leak, Outcome
from tests.reports_tests import joined_studies
from tests.reports_tests.hypothesis_studies import below, hypothesis, many, results_of
from tests.reports_tests.methods_paragraphs import TWO, exhibits_of, paragraph, study
from tests.reports_tests.searched import RATE, searched
from tests.studies_tests.helpers import plan_of

NORMS = {"model.norm": ("layer", "batch", "none")}
RULE = "exceeds 3 ln V, where V is the size of the vocabulary"


def with_leak(results: StudyResults, leak: Leak, norm: str) -> StudyResults:
    records = {
        key: record.model_copy(update={"leak": leak})
        if record.levels["model.norm"] == norm
        else record
        for key, record in results.records.items()
    }
    return replace(results, records=records)


def test_the_placement_of_cells_that_have_a_norm_is_named(tmp_path: Path) -> None:
    text = paragraph(study(tmp_path, NORMS))
    assert ", pre-norm (Xiong et al. 2020) where there is a norm, learned positions" in text
    assert "all variants have the same settings, but for what is compared." in text
    placed = {"model.placement": ("pre", "none")}
    text = paragraph(study(tmp_path / "placed", placed, model={"norm": "rms"}))
    assert "RMSNorm (Zhang & Sennrich 2019) where there is a norm" in text


def test_parts_that_no_cell_has_are_named_as_missing(tmp_path: Path) -> None:
    text = paragraph(study(tmp_path, model={"norm": "none", "position": "none"}))
    assert ", with no norm, no positions (Haviv et al. 2022), fan-in" in text
    assert "-norm" not in text.partition("Runs were")[0]
    varied = {"model.position": ("learned", "none")}
    text = paragraph(study(tmp_path / "varied", varied))
    assert "(position: learned positions (Radford et al. 2018), no positions (Haviv" in text


def test_divergence_is_told_by_its_rule_and_its_number(tmp_path: Path) -> None:
    assert f"{RULE}; of 4 ended runs none did." in paragraph(study(tmp_path))
    lost = study(tmp_path / "lost", fates={("swiglu", 0): Outcome.DIVERGED})
    text = paragraph(lost)
    assert f"{RULE}; of 4 ended runs 1 did." in text
    assert "A variant of which a compared run diverged (1 of 2) is not ranked by the mean" in text
    tex = as_tex(methods_exhibits(lost, []).sentences[0])
    assert r"exceeds $3 \ln V$, where $V$ is" in tex
    fates = {(name, seed): Outcome.MISSING for name in ("relu", "swiglu") for seed in (0, 1)}
    unrun = paragraph(study(tmp_path / "unrun", fates=fates, training={"divergence_factor": 1.5}))
    assert "exceeds 1.5 ln V, where V is the size of the vocabulary. The outcome" in unrun


def test_runs_of_the_search_that_diverged_take_no_rank() -> None:
    search = {"kind": "sweep", "values": {RATE: [0.001, 0.003]}, "seeds": 1, "extend": 0}

    def loss(variant: str, settings: dict[str, float], seed: int) -> float | None:
        return None if seed >= 10000 and settings[RATE] > 0.002 else 3.0

    text = paragraph(searched(loss, factors=TWO, seeds=2, protocol={"search": search}))
    assert "; of 8 ended runs 2 did, all in the search." in text
    assert "not ranked by the mean" not in text
    assert "(capped at that before training, as which a diverged run counts)" in text


def test_a_norm_that_leaks_is_told_with_its_reason_by_its_label(tmp_path: Path) -> None:
    results = study(tmp_path, NORMS)
    assert "leak" not in paragraph(results)
    text = paragraph(with_leak(results, Leak.IN_TRAINING, "batch"))
    assert (
        "With BatchNorm (statistics over batch and positions; the running ones at evaluation) "
        "later tokens leak into earlier ones in training; its evaluation is causal."
    ) in text
    text = paragraph(with_leak(results, Leak.IN_TRAINING, "layer"))
    assert "In training of LayerNorm later tokens leak into earlier ones" in text
    assert "running" not in text
    text = paragraph(with_leak(results, Leak.LEAKY, "batch"))
    assert "In the evaluation of BatchNorm later tokens leak into earlier ones: not ranked" in text


def test_of_a_module_that_leaks_no_reason_is_claimed() -> None:
    module = {"import_path": "tests.lightning_modules_tests.own_modules:OwnModel"}
    plan = plan_of(module=module, factors={"model.norm": ["batch", "layer"]}, seeds=1)
    trained = searched(lambda *_: 3.0, module=module, factors={"model.norm": ["batch", "layer"]},
                       seeds=1)  # fmt: skip
    assert trained.plan.cells == plan.cells
    text = paragraph(with_leak(trained, Leak.IN_TRAINING, "batch"))
    assert "In training of BatchNorm later tokens leak into earlier ones" in text
    assert "statistics over" not in text
    assert "leak" not in paragraph(assemble(plan, {}, {}))


@pytest.mark.parametrize(
    ("best", "extended", "chosen"),
    [
        (0.003, ")", "learning rate 0.003 for all variants."),
        (0.01, ", extended for all variants alike beyond the high end to 0.0333)",
         "learning rate 0.003 for 1 variant and 0.01 for 1."),
    ],
)  # fmt: skip
def test_a_search_tells_its_extension_its_choices_and_the_shared_setting(
    best: float, extended: str, chosen: str
) -> None:
    search = {"kind": "sweep", "values": {RATE: [0.001, 0.003, 0.01]}, "seeds": 1, "extend": 1}
    wanted = {"relu": best, "swiglu": 0.003}
    text = paragraph(
        searched(
            lambda variant, settings, seed: 3.0 + abs(settings[RATE] - wanted[variant]),
            factors=TWO, seeds=1, protocol={"search": search},
        )
    )  # fmt: skip
    assert f"For each variant, learning rate (0.001, 0.003, 0.01{extended} was chosen" in text
    assert f"The search chose {chosen} All variants are also compared at the same setting, " in text
    assert "same setting, learning rate 0.001." in text


def test_many_chosen_numbers_are_told_by_their_ends() -> None:
    search = {"kind": "sweep", "values": {RATE: [i / 1000 for i in range(1, 10)]}, "seeds": 1,
              "extend": 0}  # fmt: skip
    names = ("relu", "gelu", "silu", "swiglu", "geglu", "reglu", "tanh")
    text = paragraph(
        searched(
            lambda variant, settings, seed: (
                3.0 + abs(1000 * settings[RATE] - 2 - names.index(variant))
            ),
            factors={"model.activation": names}, seeds=1, protocol={"search": search},
        )
    )  # fmt: skip
    assert "The search chose learning rate 0.002 to 0.008. All variants" in text


def test_constants_are_set_as_maths(small: StudyResults) -> None:
    tex = as_tex(methods_exhibits(small, []).sentences[0])
    assert r"($\beta_1 = 0.9$, $\beta_2 = 0.99$, $\varepsilon = 10^{-8}$, weight decay" in tex


def test_a_varied_constant_keeps_its_name_as_maths(tmp_path: Path) -> None:
    factors = {"training.beta2": (0.9, 0.99), "training.divergence_factor": (2.0, 3.0)}
    results = study(tmp_path, factors, training={"adam_eps": 2.5e-7})
    assert "β₂ varied, ε = 2.5e-07" in paragraph(results)
    assert "exceeds a varied multiple of ln V" in paragraph(results)
    tex = as_tex(methods_exhibits(results, []).sentences[0])
    assert r"$\beta_2$ varied, $\varepsilon = 2.5 \times 10^{-7}$" in tex


def test_runs_and_devices_are_counted(tmp_path: Path) -> None:
    results = study(tmp_path)
    assert "The study has 4 runs. A run" in paragraph(results)
    alone = paragraph(on_devices(results, ["cpu"] * 4))
    assert "The study has 4 runs, trained on one device each (CPU, 2 cores). A run" in alone
    mixed = paragraph(on_devices(results, ["NVIDIA H100", "cpu", "cpu", "cpu"]))
    assert "on one device each (CPU, 2 cores: 3 runs; NVIDIA H100: 1 run)." in mixed


def test_batch_norms_that_normalised_shares_are_named(tmp_path: Path) -> None:
    results = study(tmp_path)
    assert "Batch norms" not in paragraph(results)
    records = {
        key: record.model_copy(update={"facts": {**record.facts, "batch_norm": "per device"}})
        for key, record in results.records.items()
    }
    text = paragraph(replace(results, records=records))
    assert "Batch norms of the module normalised each device's share of a batch by itself." in text


def on_devices(results: StudyResults, devices: list[str]) -> StudyResults:
    records = {}
    for (key, record), device in zip(results.records.items(), devices, strict=True):
        facts = {**record.facts, "device": device}
        provenance = {**record.provenance, "cpus": 2}
        records[key] = record.model_copy(update={"facts": facts, "provenance": provenance})
    return replace(results, records=records)


def test_no_sentence_begins_with_a_digit(tmp_path: Path, grid: StudyResults) -> None:
    declared = results_of(tmp_path / "two", many(2), below(0.03))
    cells = [
        {"model.activation": activation, "model.norm": norm}
        for activation, norm in itertools.product(("relu", "gelu", "swiglu"), ("layer", "rms"))
    ]
    pairs = list(itertools.combinations(cells, 2))[:11]
    claims = {f"h{i}": hypothesis("different", of=a, against=b) for i, (a, b) in enumerate(pairs)}
    eleven = results_of(tmp_path / "eleven", claims, below(0.03))
    assert "In all, 11 hypotheses were registered" in paragraph(eleven)
    for results in (grid, declared, eleven):
        for part in methods_exhibits(results, exhibits_of(results)).sentences:
            assert not re.search(r"(^|[a-z)]\. )\d", part), part


def test_the_agreement_of_ranks_is_a_further_statistic(tmp_path: Path) -> None:
    both = joined_studies.joined(
        joined_studies.study(tmp_path, "a"),
        joined_studies.study(tmp_path, "b", data=joined_studies.CODE),
    )
    sections = [replace(exhibits_of(both.studies[0])[0], methods=("paired-t", "kendall", "anova"))]
    files = {d.name: d.text for d in joined_methods(both, sections).documents}
    assert "Kendall" not in files["methods.tex"]
    further = files["methods_statistics.tex"].split("\n\n")
    assert "The order of cells in two studies is compared by Kendall's tau" in further[0]
    assert [part.partition("\n")[0] for part in further[1:]] == ["Study A (a).", "Study B (b)."]
    assert all("analysis of variance" in part and "Kendall" not in part for part in further[1:])
