"""What differs between the protocols of several studies, key by key, and what is equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.analysis.spending import NOT_KNOWN
from reports.overview import provenance_values
from reports.results.frame import StudyResults
from reports.results.joined import JoinedResults, qualified
from reports.words import ABSENT, factor_label, percent, plain_value, tried_text
from studies.configuration import flatten
from studies.data_levels import CORPORA
from studies.protocol import Fixed, Sweep
from studies.vocabulary import VOCABULARIES, label_of

RECORDED = "recorded"
"""Part of what the runs recorded, which no study file says."""
FACTS = ("device", "initialization", "data_digest")
"""Facts of a run that are compared."""
NONE = "none"
"""A key without a value."""
MOST_VALUES = 8
"""Values of one key that are listed; of more, the first ones and their number."""


@dataclass(frozen=True)
class Setting:
    """A setting in each study."""

    part: str
    """Section of the study file, `study`, `protocol`, or `recorded`."""
    key: str
    name: str
    values: tuple[str, ...]
    """By study; the absent mark where no run recorded it."""


@dataclass(frozen=True)
class ProtocolDifferences:
    """The settings of several studies."""

    studies: tuple[str, ...]
    letters: tuple[str, ...]
    different: tuple[Setting, ...]
    equal: tuple[Setting, ...]
    """Known to be so: what a study has not recorded is equal to nothing."""
    unrecorded: tuple[str, ...]
    """Letters of the studies none of whose runs has a record."""
    runs: tuple[str, ...]
    """Those that recorded anything, as `qualified` calls them."""


def collect_protocol(joined: JoinedResults) -> ProtocolDifferences:
    """Every setting of the studies: those that differ, and those that do not."""
    tables = [
        _settings(results, baseline)
        for results, baseline in zip(joined.studies, joined.baselines, strict=True)
    ]
    has_records = [bool(results.records) for results in joined.studies]
    different, equal = [], []
    for part, key in _in_order(tables):
        missing = ABSENT if part == RECORDED else NONE
        values = tuple(table.get((part, key), missing) for table in tables)
        setting = Setting(part, key, _name(part, key), values)
        waits = part == RECORDED and not all(has_records)
        known = {v for v, has in zip(values, has_records, strict=True) if has or part != RECORDED}
        if len(known) > 1:
            different.append(setting)
        elif not waits:
            equal.append(setting)
    return ProtocolDifferences(
        studies=joined.names,
        letters=joined.letters,
        different=tuple(different),
        equal=tuple(equal),
        unrecorded=tuple(
            letter
            for letter, results in zip(joined.letters, joined.studies, strict=True)
            if not results.records
        ),
        runs=tuple(
            qualified(name, key)
            for name, results in zip(joined.names, joined.studies, strict=True)
            for key in results.records
        ),
    )


Keyed = dict[tuple[str, str], str]


def _in_order(tables: list[Keyed]) -> list[tuple[str, str]]:
    """All keys, part by part."""
    parts = ("study", "data", "model", "module", "training", "protocol", "diagnostics",
             "execution", RECORDED)  # fmt: skip
    keys = dict.fromkeys(key for table in tables for key in table)
    return sorted(keys, key=lambda key: parts.index(key[0]))


def _name(part: str, key: str) -> str:
    return key.replace("_", " ") if part in ("study", RECORDED) else factor_label(key)


def _settings(results: StudyResults, baseline: str) -> Keyed:
    study = results.plan.study
    found: Keyed = {
        ("study", "design"): study.design.kind.replace("_", " "),
        ("study", "cells"): str(len(results.plan.cells)),
        ("study", "seeds"): ", ".join(map(str, study.seeds)),
        ("study", "baseline"): baseline,
        ("study", "confidence"): percent(study.report.confidence),
        ("protocol", "learning_rate"): _how_rate_is_set(results),
        ("protocol", "search"): _search(results),
    }
    found |= _configured(results)
    for key in results.plan.nuisance:
        place = key.partition(".")[0], key
        found[place] = f"searched for each variant (shared: {found[place]})"
    stated = study.protocol.model_dump(mode="json")
    for name, value in (*stated.items(), *study.execution.model_dump(mode="json").items()):
        part = "protocol" if name in stated else "execution"
        if name != "search":
            found[part, name] = _text(name, value)
    return found | _recorded(results)


def _configured(results: StudyResults) -> Keyed:
    """Every configuration key over the cells of a study."""
    flats = [flatten(cell.configuration) for cell in results.plan.cells]
    found: Keyed = {}
    for key in dict.fromkeys(key for flat in flats for key in flat):
        found[key.partition(".")[0], key] = _listed(
            _configured_text(flat, key) for flat in flats if key in flat
        )
    return found


def _configured_text(flat: Mapping[str, Any], key: str) -> str:
    """A value in words; the version of an embedded corpus with its name, for others have it too."""
    text = _text(key, flat[key])
    is_embedded = key == "data.corpus_digest" and flat["data.corpus"] in CORPORA
    return f"{flat['data.corpus']}, {text}" if is_embedded and flat[key] else text


def _recorded(results: StudyResults) -> Keyed:
    """What the runs say of machine, software, start and evaluation set."""
    records = results.records.values()
    found: Keyed = {
        (RECORDED, name): _listed(values)
        for name, values in provenance_values(records).items()
        if set(values) != {NOT_KNOWN}
    }
    for fact in FACTS:
        values = [str(record.facts[fact]) for record in records if fact in record.facts]
        if values:
            found[RECORDED, fact] = _listed(sorted(values))
    digests = results.evaluation_sets(results.variants)
    if digests:
        found[RECORDED, "evaluation_set"] = _listed(sorted(digests))
    return found


def _how_rate_is_set(results: StudyResults) -> str:
    """How each variant came to its learning rate."""
    plan = results.plan
    if plan.study.module is not None:
        return "by the module"
    if "training.learning_rate" in plan.nuisance:
        kind = "swept" if isinstance(plan.study.protocol.search, Sweep) else "tuned"
        return f"{kind} for each variant"
    varied = any("training.learning_rate" in cell.levels for cell in plan.cells)
    return "varied as a factor" if varied else "shared by all variants"


def _search(results: StudyResults) -> str:
    search = results.plan.study.protocol.search
    if isinstance(search, Fixed):
        return NONE
    tried = [f"{factor_label(key)} {tried_text(v)}" for key, v in search.tried.items()]
    how = "sweep" if isinstance(search, Sweep) else f"{search.trials} trials, {search.sampler}"
    seeds = ", ".join(map(str, search.seeds))
    return f"{how}: {'; '.join(tried)}; seeds {seeds}; at most {search.extend} extensions"


def _listed(values: Iterable[str]) -> str:
    """Different values in their order."""
    found = list(dict.fromkeys(values))
    more = len(found) - MOST_VALUES
    return ", ".join(found[:MOST_VALUES]) + (f" and {more} more" if more > 0 else "")


def _text(key: str, value: Any) -> str:
    """A value of the study file in words."""
    if value is None:
        return NONE
    if isinstance(value, Mapping):
        inner = [f"{name} {_text(name, one)}" for name, one in value.items() if one is not None]
        return ", ".join(inner) or NONE
    if isinstance(value, list | tuple):
        return ", ".join(_text("", one) for one in value) or NONE
    return label_of(key, value) if key in VOCABULARIES else plain_value(value)
