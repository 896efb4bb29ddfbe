"""Which of a run's layered curves are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablations.numerals import evenly
from ablations.run_view import BLOCK, LAYERED, RunView, Series
from studies.errors import UnknownName, close_matches

HEADLINE_FAMILIES = (
    "gradient_norm",
    "update_ratio",
    "activation_rms",
    "activation_drift_normalized",
    "dead_units",
    "attention_entropy",
)
HEADLINE_TAPS = ("residual", BLOCK)
HEADLINE_LAYERS = 8
"""Layers of a tap that are shown where nothing was asked for."""


@dataclass(frozen=True)
class Chosen:
    """The curves that are shown of each family, and what there is to choose from."""

    families: dict[str, list[Series]]
    known_families: tuple[str, ...]
    known_taps: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """What a user asked to see; nothing at all means the headlines."""

    families: Sequence[str] = ()
    taps: Sequence[str] = ()
    everything: bool = False

    @property
    def is_default(self) -> bool:
        """Whether nothing was asked for."""
        return not (self.families or self.taps or self.everything)

    def of(self, view: RunView) -> Chosen:
        """The part of a run's curves that was asked for.

        Raises:
            UnknownName: the run has no such family, no such tap, or not the one at the other.
        """
        known = view.families
        found = {member.tap for series in known.values() for member in series}
        taps = tuple(tap for tap in LAYERED if tap in found)
        _check("family", "families", self.families, tuple(known))
        _check("tap", "taps", self.taps, taps)
        shown = {family: self._part(known[family]) for family in self._order(known)}
        shown = {family: series for family, series in shown.items() if series}
        if self.families and self.taps and not shown:
            families, places = ", ".join(self.families), ", ".join(self.taps)
            raise UnknownName(f"this run has no curve of {families} at {places}; leave one out")
        return Chosen(shown, tuple(known), taps)

    def _order(self, known: dict[str, list[Series]]) -> Sequence[str]:
        if self.is_default:
            return [family for family in HEADLINE_FAMILIES if family in known]
        return self.families or tuple(known)

    def _part(self, series: list[Series]) -> list[Series]:
        if self.is_default:
            taps = [[s for s in series if s.tap == tap] for tap in HEADLINE_TAPS]
            return [s for members in taps for s in evenly(members, HEADLINE_LAYERS)]
        return [s for s in series if not self.taps or s.tap in self.taps]


def _check(kind: str, kinds: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            hint = close_matches(name, known)
            raise UnknownName(
                f"this run has no {kind} {name!r}: {hint + ' ' if hint else ''}"
                f"{kinds} that it recorded: {', '.join(known) or 'none yet'}"
            )
