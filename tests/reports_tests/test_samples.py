from dataclasses import replace

import pytest

from reports.results.assembly import assemble
from reports.results.sources import load_study
from reports.sections.samples import SECTION, shown
from reports.tex import escape
from reports.writers.latex import table_tex
from studies.generation import Sample, Samples, Sampling
from tests.reports_tests.conftest import grid_study, write_study

SIZES = {"model.activation": ("relu", "gelu", "silu")}
PROMPTS = ("def ", "It\nis ")


def samples_of(record, *, prompts=PROMPTS, **sampling):
    texts = tuple(
        Sample(prompt=prompt, text=f"{record.variant}\n<{record.seed}>", tokens=9, ended="context")
        for prompt in prompts
    )
    return Samples(sampling=Sampling(**sampling), texts=texts)


@pytest.fixture
def results(tmp_path):
    plan = grid_study((3, 5), SIZES, report={})
    return load_study(write_study(tmp_path / "samples", plan))


def with_samples(results, samples):
    records = {
        key: record.model_copy(update={"samples": samples(record)})
        for key, record in results.records.items()
    }
    return replace(assemble(results.plan, records, {}), histories=results.histories)


def test_a_study_without_samples_has_no_section(results):
    assert SECTION.exhibits(results) is None


def test_variants_stand_below_each_other_with_what_they_made_of_each_prompt(results):
    exhibits = SECTION.exhibits(with_samples(results, samples_of))
    [table] = exhibits.tables
    assert [cell.text for cell in table.rows[1].cells] == ["GELU", "gelu↵ <3>", "gelu↵ <3>"]
    assert len(table.rows) == len(table.data) == 3
    assert list(table.data["text_2"]) == [f"{v}\n<3>" for v in results.variants]
    assert "Prompts: (1) “def ”; (2) “It↵ is ”. " in table.caption
    assert "of seed 3" in table.caption
    assert "drawn at temperature 0.8, seed 0; at most 100 tokens" in table.caption
    runs = {r.variant: key for key, r in results.records.items() if r.seed == 3}
    assert [row.runs for row in table.rows] == [(runs[v],) for v in results.variants]
    assert table_tex(table).count("longtable") == 3
    assert r"gelu$\hookleftarrow$ \textless{}3\textgreater{}" in table_tex(table)


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        ({"temperature": 0}, "The likeliest token is always taken; at most 100 tokens"),
        ({"top_k": 40}, "drawn among the 40 likeliest tokens"),
        ({"top_p": 0.9, "max_new_tokens": 7}, "the likeliest tokens up to probability 0.9"),
    ],
)
def test_the_caption_says_how_texts_were_drawn(results, sampling, words):
    exhibits = SECTION.exhibits(with_samples(results, lambda r: samples_of(r, **sampling)))
    assert words in exhibits.tables[0].caption


def test_texts_from_other_prompts_are_not_set_side_by_side(results):
    def samples(record):
        return samples_of(record, prompts=("for ", "if ") if record.variant == "silu" else PROMPTS)

    [table] = SECTION.exhibits(with_samples(results, samples)).tables
    assert [cell.text for cell in table.rows[2].cells] == ["SiLU", "–", "–"]
    assert "1 of 3 variants had other prompts" in table.caption
    assert table.data["prompt_1"][2] == "for "


def test_a_run_without_samples_leaves_its_place_to_the_next_seed(results):
    def samples(record):
        return None if (record.variant, record.seed) == ("gelu", 3) else samples_of(record)

    [table] = SECTION.exhibits(with_samples(results, samples)).tables
    assert [row.cells[1].text for row in table.rows] == ["relu↵ <3>", "gelu↵ <5>", "silu↵ <3>"]
    assert "of the first seed that has some" in table.caption


def test_what_cannot_be_printed_is_shown_as_such():
    assert shown("a\tb\x00\r\n\x1b[0m\ufffd") == "a b\ufffd↵ \ufffd[0m\ufffd"
    assert escape(shown("\x00")) == r"{\tiny$\Box$}"
