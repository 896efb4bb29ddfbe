"""What each parameter is for, declared by the module that owns it.

Weight decay, initialisation and gradient norms by kind follow the role, never the name or the rank
of a parameter. Roles live in the module's `parameter_roles`, so that they survive a deep copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from studies.errors import AblationError

Kind = Literal["embedding", "attention", "feed_forward", "norm", "head"]


class MissingRole(AblationError):
    """A parameter that nobody said how to initialise or decay."""


@dataclass(frozen=True)
class Role:
    """What a parameter does, and what follows from it."""

    kind: Kind
    decays: bool
    """Whether weight decay applies."""
    constant: float | None = None
    """Value at the start, for gains, biases and scalars; a drawn parameter has None."""
    fan_in: int = 0
    """Inputs that are summed into one output."""
    fan_out: int = 0
    """Outputs that one input reaches."""
    writes_residual: bool = False
    """Whether it is the last matrix before the sum with the residual stream."""


def constant_role(kind: Kind, value: float) -> Role:
    """Role of a gain, bias or scalar: starts at a value, never decays."""
    return Role(kind, decays=False, constant=value)


def named_roles(model: nn.Module) -> dict[str, Role]:
    """The role of each parameter by its name in `model.named_parameters()`; shared ones once.

    Raises:
        MissingRole: a parameter has none.
    """
    roles: dict[str, Role] = {}
    missing: list[str] = []
    for name, owner, leaf in _owned_parameters(model):
        declared: Mapping[str, Role] = getattr(owner, "parameter_roles", {})
        if leaf in declared:
            roles[name] = declared[leaf]
        else:
            missing.append(f"{name} (of {type(owner).__name__})")
    if missing:
        raise MissingRole(
            f"no role is declared for {', '.join(missing)}: set `parameter_roles` of the owning "
            "module to a mapping from parameter name to lightning_modules.gpt.roles.Role"
        )
    return roles


def _owned_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Full name, owner, and name within the owner of each parameter."""
    modules = dict(model.named_modules())
    for name, _ in model.named_parameters():
        path, _, leaf = name.rpartition(".")
        yield name, modules[path], leaf
