"""Digests that a run records of what it was given and started from, by which pairing is measured.

    training_data/<steps>   of the batches of the first so many steps, in order
    evaluation_data         of the evaluation set
    probe_data              of the probe batch
    parameter/<name>        shape and initial value: 16x64:0123456789abcdef

Batches have an entry for each power of two up to the steps that the run made, and one for the last
that was read: runs that made different numbers of steps are compared at the last that both have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from studies.run_spec import digest

Digests = Mapping[str, str]
"""Key to digest, as a run records them."""

EVALUATION_DATA = "evaluation_data"
PROBE_DATA = "probe_data"
_TRAINING_DATA = "training_data/"
_PARAMETER = "parameter/"


class InitialValue(NamedTuple):
    """What a parameter was before the first step."""

    shape: tuple[int, ...]
    digest: str


def training_entries(after_steps: Mapping[int, str]) -> dict[str, str]:
    """Entries of the batches, from steps to digest."""
    return {f"{_TRAINING_DATA}{steps}": value for steps, value in after_steps.items()}


def training_data(digests: Digests) -> dict[int, str]:
    """Number of steps to the digest of their batches, in ascending order."""
    return dict(sorted((int(k), v) for k, v in _under(_TRAINING_DATA, digests).items()))


def parameter_entries(values: Mapping[str, InitialValue]) -> dict[str, str]:
    """Entries of initial values, by name of the parameter."""
    return {
        f"{_PARAMETER}{name}": f"{'x'.join(map(str, value.shape))}:{value.digest}"
        for name, value in values.items()
    }


def initial_values(digests: Digests) -> dict[str, InitialValue]:
    """Parameter to its initial value."""
    return {name: _initial_value(text) for name, text in _under(_PARAMETER, digests).items()}


def digest_tags(digests: Digests) -> dict[str, str]:
    """One tag for each kind of data, and one for all initial values: runs that share it are alike.

    Empty where nothing was recorded.
    """
    trained, values = training_data(digests), _under(_PARAMETER, digests)
    tags = {
        "batches_digest": trained[max(trained)] if trained else None,
        "evaluation_digest": digests.get(EVALUATION_DATA),
        "initial_values_digest": digest(values) if values else None,
    }
    return {name: value for name, value in tags.items() if value is not None}


def _under(prefix: str, digests: Digests) -> dict[str, str]:
    return {k.removeprefix(prefix): v for k, v in digests.items() if k.startswith(prefix)}


def _initial_value(text: str) -> InitialValue:
    shape, _, value = text.partition(":")
    return InitialValue(tuple(int(size) for size in shape.split("x") if size), value)
