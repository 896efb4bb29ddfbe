"""Which runs a seed changes: what each of them draws, and what of that has a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from studies.plan import NO_SETTINGS, Cell, Plan
from studies.protocol import Fixed
from studies.protocol_levels import corners
from studies.values import Scalar


def unmoved(plan: Plan) -> list[str]:
    """Variants that are trained on several seeds, of which none changes anything."""
    repeated = list(_repeated_settings(plan))
    return [
        cell.variant
        for cell in plan.cells
        if not all(_is_moved(cell, settings) for settings in repeated)
    ]


def _repeated_settings(plan: Plan) -> Iterator[Mapping[str, Scalar]]:
    """The settings that have more than one seed."""
    study, search = plan.study, plan.study.protocol.search
    if len(study.seeds) > 1:
        yield NO_SETTINGS
    if not isinstance(search, Fixed) and max(len(study.seeds), len(search.seeds)) > 1:
        yield from corners(search)


def _is_moved(cell: Cell, settings: Mapping[str, Scalar]) -> bool:
    """Whether a run of a cell draws anything from its own seed.

    Every model draws the order of its data, and its initial weights unless it is given them. The
    built-in GPT draws in training for dropout alone; what a module of one's own draws only that
    module knows.
    """
    training, model = cell.configuration["training"], cell.configuration["model"]
    draws_weights = model.get("weights") is None
    if training["data_seed"] is None or (draws_weights and training["initialization_seed"] is None):
        return True
    own = cell.configuration["module"] is not None
    draws = own or settings.get("model.dropout", model["dropout"]) != 0
    return draws and training["dropout_seed"] is None
