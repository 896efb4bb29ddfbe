from __future__ import annotations

from dataclasses import replace

from reports.frame import StudyResults
from reports.overview import collect_overview
from studies.schema import CustomModule


def protocol(results: StudyResults) -> dict[str, str]:
    return {fact.name: fact.value for fact in collect_overview(results).protocol}


def test_the_protocol_says_how_the_built_in_model_was_trained(small: StudyResults) -> None:
    facts = protocol(small)
    assert facts["optimiser"].startswith("AdamW, β₁ 0.9")
    assert "warm-up" in facts["learning rate"]
    assert facts["seeds"].endswith("same start of shared parameters)")


def test_of_a_module_of_ones_own_it_says_no_more_than_is_known(small: StudyResults) -> None:
    module = CustomModule(import_path="my_model.py:Mine")
    study = small.plan.study.model_copy(update={"module": module})
    facts = protocol(replace(small, plan=small.plan.model_copy(update={"study": study})))
    assert facts["optimiser"] == "the module's own, with its learning rate and schedule; clip 1"
    assert facts["module"] == "my_model.py:Mine"
    assert not {"learning rate", "model", "initialisation"} & facts.keys()
    assert "same start" not in facts["seeds"]
