"""Which of a run's curves are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablations.numerals import evenly
from ablations.run_view import RunView, Series
from studies.diagnostics import BLOCK, PLACES, records
from studies.errors import UnknownName, close_matches
from studies.metrics import LEARNING_RATE, TRAIN_LOSS, VALIDATION_LOSS

HEADLINE_FAMILIES = (
    "gradient_norm",
    "update_ratio",
    "activation_rms",
    "activation_drift_normalized",
    "token_similarity",
    "dead_units",
    "attention_entropy",
)
"""What is shown where nothing was asked for, unless all of it is fixed by construction."""
HEADLINE_TAPS = ("residual", BLOCK)
HEADLINE_LAYERS = 8
"""Layers of a tap that are shown where nothing was asked for."""
TOTAL = "gradient_norm/total"
FIRST_CURVES = (TRAIN_LOSS, VALIDATION_LOSS, LEARNING_RATE)


@dataclass(frozen=True)
class Chosen:
    """The curves that are shown, and what there is to choose from."""

    alone: tuple[str, ...]
    """Curves that are told by no layer."""
    families: dict[str, list[Series]]
    known: tuple[str, ...]
    """Families, and curves that belong to none."""
    known_taps: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """What a user asked to see; nothing at all means the headlines."""

    families: Sequence[str] = ()
    """Families of curves, one of these at a tap (`activation_rms/hidden`), or curves."""
    taps: Sequence[str] = ()
    everything: bool = False

    @property
    def is_default(self) -> bool:
        """Whether nothing was asked for."""
        return not (self.families or self.taps or self.everything)

    @property
    def is_whole_run(self) -> bool:
        """Whether the run is shown, and not only some of its curves."""
        return self.is_default or self.everything

    def of(self, view: RunView) -> Chosen:
        """The part of a run's curves that was asked for.

        Raises:
            UnknownName: the run has no such curves, no such tap, or not the one at the other.
        """
        known, alone = view.families, _alone(view)
        every = [member for series in known.values() for member in series]
        taps = tuple(tap for tap in PLACES if tap in {member.tap for member in every})
        self._check_names(view, every, alone)
        self._check_taps(taps)
        shown = {family: self._part(known[family]) for family in self._order(known)}
        if self.is_default:
            shown = {f: s for f, s in shown.items() if not all(view.fixed(f, m) for m in s)}
        shown = {family: series for family, series in shown.items() if series}
        curves = [name for name in alone if self._wants_alone(name)]
        if self.families and self.taps and not shown:
            families, places = ", ".join(self.families), ", ".join(self.taps)
            raise UnknownName(f"this run has no curve of {families} at {places}; leave one out")
        if self.is_whole_run and TOTAL in view.curves:
            curves.append(TOTAL)
        return Chosen(tuple(curves), shown, (*known, *alone), taps)

    def _order(self, known: dict[str, list[Series]]) -> Sequence[str]:
        if self.is_default:
            return [family for family in HEADLINE_FAMILIES if family in known]
        named = [f for name in self.families for f in (name, name.rpartition("/")[0]) if f in known]
        return list(dict.fromkeys(named)) if self.families else tuple(known)

    def _part(self, series: list[Series]) -> list[Series]:
        if self.is_default:
            taps = [[s for s in series if s.tap == tap] for tap in HEADLINE_TAPS]
            return [s for members in taps for s in evenly(members, HEADLINE_LAYERS)]
        return [
            s
            for s in series
            if (not self.taps or s.tap in self.taps)
            and (not self.families or any(map(s.answers_to, self.families)))
        ]

    def _wants_alone(self, curve: str) -> bool:
        named = any(_is_in(curve, name) for name in self.families)
        return self.is_whole_run or (named and not self.taps)

    def _check_names(self, view: RunView, every: Sequence[Series], alone: Sequence[str]) -> None:
        known = (*view.families, *alone)
        for name in self.families:
            found = any(s.answers_to(name) for s in every) or any(_is_in(c, name) for c in alone)
            if not found:
                hint = records(name) or close_matches(name, known)
                hint = hint or close_matches(name, view.curves)
                raise UnknownName(
                    f"this run has no curves {name!r}: {hint + '; ' if hint else ''}"
                    f"families and curves that it recorded: {', '.join(known) or 'none yet'}"
                )

    def _check_taps(self, known: Sequence[str]) -> None:
        for name in self.taps:
            if name not in known:
                hint = close_matches(name, known)
                raise UnknownName(
                    f"this run has no tap {name!r}: {hint + '; ' if hint else ''}"
                    f"taps that it recorded: {', '.join(known) or 'none yet'}"
                )


def _alone(view: RunView) -> list[str]:
    """Curves that belong to no family that is told by layer."""
    names = [name for name in view.curves if name.rpartition("/")[0] not in view.families]
    first = {name: place for place, name in enumerate(FIRST_CURVES)}
    return sorted(names, key=lambda name: first.get(name, len(first)))


def _is_in(curve: str, name: str) -> bool:
    """Whether a name is that of a curve, or what stands before its slash."""
    return name in (curve, curve.rpartition("/")[0])
