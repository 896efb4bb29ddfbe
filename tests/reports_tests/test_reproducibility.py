from dataclasses import replace
from pathlib import Path

import pytest

from reports.analysis.reproducibility import collect
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.reproducibility import SECTION
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic, grid_study, write_study
from tests.reports_tests.given_weights import from_weights
from tests.reports_tests.hypothesis_studies import registration_of
from tests.reports_tests.searched import RATE, searched
from tests.studies_tests.helpers import plan_of

ONE = {"model.activation": ("relu", "gelu")}


def answers(results: StudyResults) -> dict[str, str]:
    return {item.question: item.answer for item in collect(results).items}


def of(tmp_path: Path, seeds=(0, 1), fates=None, **settings) -> StudyResults:
    plan = grid_study(seeds, ONE, report={}, **settings)
    return load_study(write_study(tmp_path / "study", plan, Synthetic(fates or {})))


def with_provenance(results: StudyResults, *changes: dict[str, object]) -> StudyResults:
    """The results, the first records of which have other provenance."""
    records = dict(results.records)
    for key, change in zip(list(records), changes, strict=False):
        provenance = {**records[key].provenance, **change}
        records[key] = records[key].model_copy(update={"provenance": provenance})
    return replace(results, records=records)


def test_a_finished_study(small: StudyResults) -> None:
    found = answers(small)
    assert found["licence of the data"] == (
        "python-docs: Python Software Foundation licence, version 2 (PSF-2.0)"
    )
    assert found["data and splits"].startswith(
        "corpus python-docs, the text “Python help topics” of Python 3."
    )
    assert "losses are over 16\u202f384 fixed tokens" in found["data and splits"]
    assert found["hyper-parameter search space"] == (
        "no search: all variants have the same settings, but for what is compared"
    )
    assert found["factor of variability"] == (
        "3 seeds (0, 1, 2), each of which draws initial weights and order of the training data; "
        "dropout is 0; the split of the data does not vary"
    )
    assert found["error bars: method and assumptions"].startswith("95% t intervals")
    assert found["SD or standard error"].startswith("SD over seeds (n - 1)")
    assert found["best values found"] == "none: nothing was searched for"
    assert found["code"].endswith("commit 0123abcd without changes to tracked files")
    assert found["packages"] == "python 3.11.9, torch 2.13.0"
    assert found["compute of each run and in all"].startswith(
        "wall time of a run 12.5 s; in all 2.5 min, over all devices 2.5 min; peak memory"
    )
    assert "energy not known" in found["compute of each run and in all"]


def test_what_the_harness_does_not_know_of_a_text_it_does_not_tell(tmp_path: Path) -> None:
    found = answers(of(tmp_path, data={"corpus": "wiki.txt"}))
    assert found["licence of the data"] == "wiki.txt: not known, it is not recorded"
    assert found["data and splits"].startswith("corpus wiki.txt, tokenizer bytes; the last 10%")


def test_widths_that_the_protocol_matches_are_no_equal_settings(tmp_path: Path) -> None:
    plan = grid_study((0, 1), {"model.activation": ("relu", "swiglu")}, report={})
    found = answers(load_study(write_study(tmp_path / "study", plan)))
    assert found["hyper-parameter search space"].endswith(
        "but for what is compared and the hidden width, set by the protocol"
    )


def test_a_registration_without_hypotheses_is_no_claim(small: StudyResults) -> None:
    registered = replace(small, registration=registration_of(small.plan))
    claims = answers(registered)["claims said beforehand"]
    assert claims == "no hypothesis was registered: every result is exploratory"


def test_nothing_is_known_before_the_first_run(tmp_path: Path) -> None:
    fates = {(name, seed): Outcome.MISSING for name in ("relu", "gelu") for seed in (0, 1)}
    found = answers(of(tmp_path, fates=fates))
    for question in ("parameters", "infrastructure", "packages", "code"):
        assert found[question] == "not known"
    assert found["runs in all"].startswith("4 planned, completed 0/4, 4 missing")


def test_code_that_is_dirty_or_differs_is_told(small: StudyResults) -> None:
    dirty = {"git": {"commit": "f" * 40, "dirty": True}}
    told = answers(with_provenance(small, dirty))["code"]
    assert "it differs between runs" in told
    assert "commit 0123abcd without changes to tracked files (11 runs)" in told
    assert f"commit {'f' * 12} with changes that are not committed" in told
    every = with_provenance(small, *[{"git": {"commit": None, "dirty": None}}] * 12)
    assert answers(every)["code"].endswith("commit not known")
    unsure = with_provenance(small, *[{"git": {"commit": "abc", "dirty": None}}] * 12)
    assert "whether it had changes is not known" in answers(unsure)["code"]


def test_versions_that_differ_are_counted(small: StudyResults) -> None:
    told = answers(with_provenance(small, {"packages": {"torch": "2.14.0"}}))["packages"]
    assert "torch 2.13.0 (11 runs) and 2.14.0 (1 runs)" in told


def test_one_seed_has_no_error_bars(tmp_path: Path) -> None:
    found = answers(of(tmp_path, seeds=(0,)))
    assert found["error bars: method and assumptions"] == "none: there is one seed"
    assert found["what a number summarises"].startswith("a single run;")


def test_seeds_that_are_held_still_are_no_factor_of_variability(tmp_path: Path) -> None:
    held = {"initialization_seed": 7, "max_steps": 1000}
    found = answers(of(tmp_path, training=held, model={"dropout": 0.1}))
    assert (
        "each of which draws order of the training data and dropout;"
        in (found["factor of variability"])
    )
    assert "initial weights not drawn by the run's seed alone" in found["factor of variability"]


def test_a_module_of_ones_own_may_draw_as_it_likes() -> None:
    module = {"import_path": "tests.lightning_modules_tests.own_modules:OwnModel"}
    plan = plan_of(module=module, factors={"model.norm": ["rms", "layer"]}, seeds=2)
    assert "as far as the module draws" in answers(assemble(plan, {}, {}))["factor of variability"]


@pytest.mark.parametrize("rounds", [0, 50])
def test_a_search_and_what_it_found(rounds: int) -> None:
    search = {"kind": "sweep", "values": {RATE: [0.001, 0.003]}, "seeds": 2, "extend": 0}
    results = searched(
        lambda variant, settings, seed: 3.0 + settings[RATE],
        rounds=rounds, factors=ONE, seeds=2, protocol={"search": search},
    )  # fmt: skip
    found = answers(results)
    assert found["hyper-parameter search space"] == (
        "for each variant, learning rate: 0.001, 0.003; every value on 2 seeds of the search"
    )
    if rounds:
        assert found["best values found"].startswith("learning rate 0.001 (2 variants)")
        assert "8 of them of the search" in found["runs in all"]
    else:
        assert found["best values found"] == "not known yet: the search has not ended"
        assert "planned so far" in found["runs in all"]


def test_attempts_are_counted_where_the_study_lies(tmp_path: Path) -> None:
    directory = write_study(tmp_path / "study", grid_study((0, 1), ONE, report={}))
    first, second, *_ = sorted((directory / "runs").iterdir())
    for folder in (first / "attempt-0", first / "attempt-4", second / "attempt-1"):
        folder.mkdir()
    results = load_study(directory)
    assert answers(results)["runs in all"].endswith("3 attempts, 1 run tried more than once")
    assert sum(results.compared.attempts.values()) == 3
    unknown = replace(results, attempts={})
    assert answers(unknown)["runs in all"].endswith("number of attempts not known")


def test_the_document_says_what_the_table_says(small: StudyResults) -> None:
    exhibits = SECTION.exhibits(small)
    assert exhibits is not None
    (document,), (table,) = exhibits.documents, exhibits.tables
    assert document.name == "checklist.md"
    assert document.text.startswith("# Reproducibility checklist: norm-placement\n")
    lines = [line for line in document.text.splitlines() if line.startswith("- **")]
    assert len(lines) == len(table.rows) == 15
    assert all(set(row.runs) == set(small.records) for row in table.rows)
    assert "Runs: 12 planned, 12 completed." in document.text


def test_an_underscore_within_a_word_stays_as_it_is() -> None:
    plan = plan_of(name="acts_lr", factors={"model.norm": ["rms", "layer"]}, seeds=2)
    exhibits = SECTION.exhibits(assemble(plan, {}, {}))
    assert exhibits is not None
    assert exhibits.documents[0].text.startswith("# Reproducibility checklist: acts_lr\n")


def test_hostile_names_stay_text_in_markdown(tmp_path: Path) -> None:
    results = of(tmp_path, data={"corpus": "<b>*a*_b_[x](y)"})
    exhibits = SECTION.exhibits(results)
    assert exhibits is not None
    assert r"\<b\>\*a\*\_b\_\[x\](y)" in exhibits.documents[0].text


def test_weights_that_runs_start_from_are_no_factor_of_variability(small: StudyResults) -> None:
    said = answers(from_weights(small, *small.variants))["factor of variability"]
    assert "each of which draws order of the training data; initial weights are given;" in said
    some = answers(from_weights(small, small.variants[0]))["factor of variability"]
    assert "draws initial weights where none are given and order of the training data;" in some
