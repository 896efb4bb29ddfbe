from pathlib import Path

import pandas as pd

from reports.analysis.by_construction import fixed_notes, fixed_reasons
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from tests.reports_tests.conftest import grid_study, write_study


def captioned(results: StudyResults, family: str, tap: str, layers: tuple[int, ...]) -> str:
    cells = pd.DataFrame(
        [(variant, tap, layer) for variant in results.variants for layer in layers],
        columns=["variant", "tap", "layer"],
    )
    return fixed_reasons(results, family, cells.assign(fixed=fixed_notes(results, family, cells)))


def test_the_caption_names_taps_layers_and_levels(grid: StudyResults) -> None:
    assert captioned(grid, "activation_rms", "residual", (0, 1)).endswith(
        "Residual stream, from layer 1 on, with post and BatchNorm, LayerNorm or GroupNorm – "
        "the stream is the output of a norm."
    )
    assert captioned(grid, "dead_units", "block", (0,)).endswith(
        "With GELU, SiLU or SwiGLU – it is 0 by underflow only."
    )


def test_what_no_rule_concerns_has_no_caption(grid: StudyResults) -> None:
    assert captioned(grid, "activation_rms", "hidden", (0,)) == ""
    assert captioned(grid, "activation_rms", "residual", (0,)) == ""
    assert captioned(grid, "novel_measure", "block", (0,)) == ""


def test_what_concerns_every_variant_says_so(tmp_path: Path) -> None:
    plan = grid_study((0,), {"model.norm": ("layer", "rms")}, report={})
    results = load_study(write_study(tmp_path / "study", plan))
    assert "Attention norm, all variants – its norm fixes" in captioned(
        results, "activation_rms", "attention_norm", (0,)
    )


def test_of_a_module_of_ones_own_nothing_is_said(tmp_path: Path) -> None:
    module = {"import_path": "somewhere.models:Own"}
    plan = grid_study((0,), {"model.norm": ("layer", "rms")}, report={}, module=module)
    results = load_study(write_study(tmp_path / "study", plan))
    assert captioned(results, "activation_rms", "attention_norm", (0,)) == ""
