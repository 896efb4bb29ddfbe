"""Gradient norms by block and step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from reports.exhibits import Exhibits, Figure
from reports.frame import StudyResults
from reports.layer_maps import LayerMaps, collect_layer_maps, draw_layer_maps
from reports.sections.base import Section
from reports.words import counts_caption
from studies.records import Outcome


@dataclass(frozen=True)
class GradientNorms:
    """The maps, and how the runs ended."""

    maps: LayerMaps
    outcomes: dict[Outcome, int]


def collect(results: StudyResults) -> GradientNorms | None:
    """Norm of the gradient of each block, before clipping."""
    maps = collect_layer_maps(
        results, "gradient_norm", "block", label="gradient norm", layer_label="block"
    )
    return GradientNorms(maps, results.outcomes()) if maps else None


def render(data: GradientNorms) -> Exhibits:
    """One figure."""
    caption = (
        "Gradient norm of each block before clipping, by step; geometric mean over the runs that "
        "are still alive, one logarithmic colour scale for all variants. "
        + ("Crosses: where runs diverged. " if data.outcomes[Outcome.DIVERGED] else "")
        + "Hatched: nothing recorded. "
        + counts_caption(data.outcomes)
    )
    draw = partial(draw_layer_maps, data.maps)
    return Exhibits(figures=(Figure("gradient_norms", caption, data.maps.means, draw),))


SECTION = Section(
    "Gradient norms", collect, render, absent="Gradient norms by block were not recorded."
)
