from __future__ import annotations

import re
from pathlib import Path

from ablations.cli import main
from lightning_modules.diagnostics.reference import metrics_reference
from lightning_modules.diagnostics.registry import DIAGNOSTICS
from studies.diagnostics import TAPS
from studies.metrics import METRICS

DOCUMENT = Path(__file__).parents[2] / "docs" / "diagnostics.md"
MARK = re.compile(r"<!-- From here on .*?-->\n\n", re.DOTALL)


def test_the_document_is_up_to_date(capsys):
    """Mend it with the output of `ablate list --metrics`, below the comment that says so."""
    assert main(["list", "--metrics"]) == 0
    printed = capsys.readouterr().out
    _, committed = MARK.split(DOCUMENT.read_text(encoding="utf-8"))
    assert committed == printed == metrics_reference()


def test_every_metric_is_there_with_its_definition_and_formula():
    text = metrics_reference()
    for diagnostic in DIAGNOSTICS.values():
        for family, metric in diagnostic.definitions.items():
            assert f"**`{family}`**" in text
            assert metric.definition[1:] in text
            assert f"$${metric.formula}$$" in text
            assert all(rule.note in text for rule in metric.by_construction)
    for name in METRICS:
        assert f"| `{name}` |" in text


def test_the_taps_are_explained_by_hand():
    text = DOCUMENT.read_text(encoding="utf-8")
    for tap in TAPS:
        assert f"| `{tap}` |" in text
