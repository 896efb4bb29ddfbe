"""Studies with variants that start from weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reports.results.frame import StudyResults

GIVEN = {"weights": "/home/me/gpt2", "weights_digest": "0123456789abcdef"}
TOLD = "weights gpt2 (digest 0123456789abcdef)"


def from_weights(results: StudyResults, *variants: str) -> StudyResults:
    """The study with some of its variants started from weights."""

    def started(configuration: Mapping[str, Any]) -> dict[str, Any]:
        return {**configuration, "model": {**configuration["model"], **GIVEN}}

    cells = tuple(
        cell.model_copy(update={"configuration": started(cell.configuration)})
        if cell.variant in variants
        else cell
        for cell in results.plan.cells
    )
    records = {
        key: record.model_copy(update={"facts": {**record.facts, "initialization": TOLD}})
        if record.variant in variants
        else record
        for key, record in results.records.items()
    }
    plan = results.plan.model_copy(update={"cells": cells})
    return replace(results, plan=plan, records=records)
