import re

import pytest

from lightning_modules.diagnostics.suite import definitions_of
from reports.references import (
    BIBLIOGRAPHY,
    as_tex,
    as_text,
    bibliography,
    cited,
    entries_of,
    formula,
    keys_of,
    mark,
)
from studies.data_levels import CORPORA, TOKENIZERS
from studies.diagnostics import DIAGNOSTICS, MODULE_ROLES, TAPS
from studies.methods import GENERATION, SOFTWARE, STATISTICS, TRAINING
from studies.tasks import TASKS
from studies.vocabulary import VOCABULARIES

PLACES = (TAPS, MODULE_ROLES)
"""Where one looks, which nobody invented."""
REGISTRIES = {
    **{key: found for key, found in VOCABULARIES.items() if found not in PLACES},
    "data.corpus": CORPORA,
    "data.tokenizer": TOKENIZERS,
    "finetuning.tasks": TASKS,
    "training": TRAINING,
    "generation": GENERATION,
    "statistics": STATISTICS,
    "software": SOFTWARE,
}
LEVELS = [(key, name) for key, registry in REGISTRIES.items() for name in registry]
PAPER = re.compile(r"([A-Z]\w+'?)(?: et al\.| & \w+)? (\d{4})")


def keys(level):
    return level.cite.split(",") if level.cite else []


@pytest.mark.parametrize(("key", "name"), LEVELS)
def test_each_level_cites_papers_that_are_there_or_says_why_not(key, name):
    level = REGISTRIES[key][name]
    assert bool(level.cite) != bool(level.uncited)
    assert set(keys(level)) <= bibliography().keys()


@pytest.mark.parametrize(("key", "name"), LEVELS)
def test_the_source_of_a_level_is_what_it_cites(key, name):
    level = REGISTRIES[key][name]
    if level.source:
        named = {bibliography()[k].surnames[0] + bibliography()[k].year for k in keys(level)}
        assert named == {surname + year for surname, year in PAPER.findall(level.source)}


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_a_diagnostic_cites_what_its_definitions_name(name):
    row = DIAGNOSTICS[name]
    named = {bibliography()[k].surnames[0] + bibliography()[k].year for k in keys(row)}
    found = {
        surname + year
        for metric in definitions_of([name]).values()
        for surname, year in PAPER.findall(metric.source)
    }
    assert named == found


def test_no_entry_is_orphaned():
    used = {key for group, name in LEVELS for key in keys(REGISTRIES[group][name])}
    assert used == set(bibliography())


@pytest.mark.parametrize("key", bibliography())
def test_an_entry_is_complete_and_can_be_read_by_bibtex(key):
    found = bibliography()[key]
    assert key.startswith(re.sub(r"\W", "", found.surnames[0].lower().split()[0])[:4])
    assert found.year in key
    assert re.fullmatch(r"\d{4}", found.year)
    assert found.title
    assert found.place
    assert found.entry.isascii()
    assert found.entry.count("{") == found.entry.count("}")
    for text in (*found.surnames, found.title, found.place):
        assert not re.search(r"[{}\\]", text)


def test_every_entry_of_the_file_is_read():
    assert entries_of(bibliography()).count("\n@") + 1 == len(bibliography())
    assert entries_of(bibliography()) == BIBLIOGRAPHY.read_text()


def test_how_citations_are_written():
    text = f"By {cited(STATISTICS['holm'], 'Holm’s')} & {cited(VOCABULARIES['model.norm']['rms'])}."
    assert as_text(text) == "By Holm’s (Holm 1979) & RMSNorm (Zhang & Sennrich 2019)."
    assert as_tex("5% [x]" + mark("ba2016layer,holm1979simple")) == (
        r"5\% [x]~\citep{ba2016layer,holm1979simple}"
    )
    either = "a " + formula("√2", r"$\sqrt{2}$") + " & b" + mark("ba2016layer")
    assert as_text(either) == "a √2 & b (Ba et al. 2016)"
    assert as_tex(either) == r"a $\sqrt{2}$ \& b~\citep{ba2016layer}"
    assert keys_of([text, mark("ba2016layer")]) == (
        "ba2016layer",
        "holm1979simple",
        "zhang2019root",
    )
    assert bibliography()["bergstra2011algorithms"].short == "Bergstra et al. 2011"
    assert bibliography()["dehghani2023scaling"].short == "Dehghani et al. 2023"
    assert bibliography()["so2021primer"].surnames[1] == "Mańke"
