"""The table of what diagnostics record, against the diagnostics."""

from __future__ import annotations

import pytest
import torch

from lightning_modules.diagnostics.registry import DIAGNOSTICS
from lightning_modules.language_model import LanguageModel
from studies import diagnostics as described
from studies.diagnostics import LAYERED, family_and_place, recorded_by, records
from studies.metrics import split_series
from tests.lightning_modules_tests.diagnostic_helpers import BATCH, VOCABULARY, spec_of, suite_on


def test_families_and_cost_classes_are_those_of_the_diagnostics():
    for name, diagnostic in DIAGNOSTICS.items():
        assert described.DIAGNOSTICS[name].families == tuple(diagnostic.definitions)
        assert described.DIAGNOSTICS[name].cost == diagnostic.cost


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_curves_are_numbered_by_the_places_of_their_family(name):
    model = {"norm": "batch", "placement": "sandwich", "activation": "glu"}  # every place there is
    module = LanguageModel(spec_of(**model), VOCABULARY).to("meta")
    suite, batch = suite_on(module, name), BATCH.to("meta")
    read = list(suite.probe(0).names)
    module.training_step(batch, 0).backward()
    suite.before_step(1)
    with torch.no_grad():
        read += [*suite.after_step(1, batch).names, *suite.probe(1).names]
    found: dict[str, set[str]] = {}
    for family, place, _ in filter(None, map(split_series, read)):
        found.setdefault(family, set()).add(place)
    own_norms = {"norm_input"}  # of batch norms that play no role
    assert {f: places | own_norms & set(LAYERED[f]) for f, places in found.items()} == {
        family: set(places) for family, places in LAYERED.items()
        if family in DIAGNOSTICS[name].definitions
    }  # fmt: skip


def test_hints():
    assert recorded_by("gradient_norm").startswith("'gradient_norm' is what 'gradient_norms'")
    assert "'batch_norm' records" in recorded_by("batch_norm/loss_gap")
    assert recorded_by("gradient_norms") == ""
    assert records("linear_cka") == "'linear_cka' is a diagnostic, which records cka_to_init"
    assert records("cka_to_init") == ""


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ("gradient_norm", ("gradient_norm", "")),
        ("activation_rms/hidden", ("activation_rms", "hidden")),
        ("batch_norm/loss_gap", ("batch_norm/loss_gap", "")),
        ("unheard/of", ("unheard/of", "")),
    ],
)
def test_parts_of_an_entry(entry, parts):
    assert family_and_place(entry) == parts
