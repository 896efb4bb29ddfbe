"""The enabled diagnostics of a run, read together so that the host is asked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from lightning_modules.diagnostics.base import Diagnostic, Readings, Subject
from lightning_modules.diagnostics.registry import DIAGNOSTICS
from studies.records import Metric


class DiagnosticSuite:
    """Builds the named diagnostics on a subject, and joins what they read."""

    def __init__(self, enabled: Sequence[str], subject: Subject) -> None:
        self._diagnostics = {name: DIAGNOSTICS[name](subject) for name in enabled}

    def read_gradients(self) -> Readings:
        """Readings of all diagnostics at a step that is logged."""
        return self._join(lambda diagnostic: diagnostic.read_gradients())

    def probe(self) -> Readings:
        """Readings of all diagnostics on the probe batch."""
        return self._join(lambda diagnostic: diagnostic.probe())

    def state_dict(self) -> dict[str, Any]:
        """State of each diagnostic by name."""
        return {name: d.state_dict() for name, d in self._diagnostics.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give each diagnostic its state."""
        for name, diagnostic in self._diagnostics.items():
            diagnostic.load_state_dict(state.get(name, {}))

    def _join(self, read: Callable[[Diagnostic], Readings]) -> Readings:
        parts = [part for part in map(read, self._diagnostics.values()) if part.names]
        names = [name for part in parts for name in part.names]
        values = [part.values.float() for part in parts]
        return Readings(names, torch.cat(values) if values else torch.empty(0))


def definitions_of(enabled: Sequence[str]) -> dict[str, Metric]:
    """What the named diagnostics record."""
    return {key: m for name in enabled for key, m in DIAGNOSTICS[name].definitions.items()}
