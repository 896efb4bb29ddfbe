"""Which sub-modules are blocks, norms, attention and so on: by patterns of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import nn

from studies.errors import AblationError, close_matches

ModuleRoles = Mapping[str, tuple[nn.Module, ...]]
"""Role, of `studies.diagnostics.MODULE_ROLES`, to its modules from the first layer to the last."""


def find_roles(module: nn.Module, patterns: Mapping[str, str]) -> ModuleRoles:
    """The modules of each role.

    A module that declares `module_roles` (as the built-in GPT does), or that contains one, needs no
    patterns; those that are given win.

    Raises:
        AblationError: a pattern matches no module, or is none.
    """
    names = dict(module.named_modules())
    declared: dict[str, str] = {}
    for name, part in names.items():
        own: Mapping[str, str] = getattr(part, "module_roles", {})
        declared |= {role: f"{name}.{pattern}".lstrip(".") for role, pattern in own.items()}
    roles = {role: _matching(names, pattern) for role, pattern in {**declared, **patterns}.items()}
    for role, pattern in patterns.items():
        if "**" in pattern:
            raise AblationError(
                f"diagnostics.modules.{role} = {pattern!r}: a star stands for one part of a name, "
                "and there is no **; write a star for each part"
            )
        if not any(_expression(pattern).fullmatch(name) for name in names):
            known = _as_patterns(filter(None, names))
            raise AblationError(
                f"diagnostics.modules.{role} = {pattern!r} matches no module of "
                f"{type(module).__name__}; {close_matches(pattern, known)} its modules: "
                f"{', '.join(known)}"
            )
    return {role: modules for role, modules in roles.items() if modules}


def _matching(names: Mapping[str, nn.Module], pattern: str) -> tuple[nn.Module, ...]:
    """Modules in the order of the model; a star stands for anything but a dot.

    An identity stands where a part was left out, and plays no role.
    """
    expression = _expression(pattern)
    return tuple(
        module
        for name, module in names.items()
        if expression.fullmatch(name) and not isinstance(module, nn.Identity)
    )


def _as_patterns(names: Iterable[str]) -> list[str]:
    """The names with stars for the numbers of layers, each once."""
    starred = (re.sub(r"(?<![^.])\d+(?![^.])", "*", name) for name in names)
    return list(dict.fromkeys(starred))


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", "[^.]*"))
