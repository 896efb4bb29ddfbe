"""Groups of parameters that norms are taken over: all, by block, by kind, by depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_modules.diagnostics.module_roles import ModuleRoles
from lightning_modules.gpt.model import GPT
from lightning_modules.gpt.roles import named_roles
from studies.metrics import layer_name

KIND_OF_ROLE = {
    "attention": "attention",
    "feed_forward": "feed_forward",
    "attention_norm": "norm",
    "feed_forward_norm": "norm",
    "final_norm": "norm",
}
"""Kinds of parameters of a module of one's own, by the role of the module that holds them."""


class GroupNorms:
    """L2 norms over groups of the trainable parameters, in one reduction.

    The groups are `total`, `block_NN`, and the kinds of parameters.
    """

    def __init__(self, module: nn.Module, roles: ModuleRoles) -> None:
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        groups = _groups(module, roles)
        self.names = tuple(groups)
        members = [[float(id(p) in group) for p in self.parameters] for group in groups.values()]
        # (groups, parameters), 1 where the parameter is in the group
        self._membership = torch.tensor(members, device=self.parameters[0].device)

    def __call__(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """Norms (groups,) of one tensor per parameter; None counts as zeros."""
        absent = self._membership.new_zeros(())
        present = [absent if tensor is None else tensor for tensor in tensors]
        wide = torch.promote_types(present[0].dtype, torch.float32)
        norms = torch.stack(list(torch._foreach_norm(present, 2, dtype=wide)))
        return (self._membership.to(norms) @ norms.square()).sqrt()


def _groups(module: nn.Module, roles: ModuleRoles) -> dict[str, set[int]]:
    """Name of each group to the identities of its parameters."""
    groups: dict[str, set[int]] = defaultdict(set)
    groups["total"] = {id(p) for p in module.parameters()}
    for index, block in enumerate(roles.get("block", ())):
        groups[layer_name("block", index)] = {id(p) for p in block.parameters()}
    for kind, members in _kinds(module, roles).items():
        groups[kind] |= members
    return {name: members for name, members in groups.items() if members}


def _kinds(module: nn.Module, roles: ModuleRoles) -> dict[str, set[int]]:
    kinds: dict[str, set[int]] = defaultdict(set)
    gpt = next((part for part in module.modules() if isinstance(part, GPT)), None)
    if gpt is not None:
        by_name = named_roles(gpt)
        for name, parameter in gpt.named_parameters():
            kinds[by_name[name].kind].add(id(parameter))
        return kinds
    for role, kind in KIND_OF_ROLE.items():
        for part in roles.get(role, ()):
            kinds[kind] |= {id(p) for p in part.parameters()}
    return kinds


def groups_by_depth(module: nn.Module, roles: ModuleRoles) -> dict[str, list[str]]:
    """Names of the trainable parameters before the blocks, of each block, and after them.

    A parameter that is used twice, such as a head tied to the embedding, is named in both places.
    """
    blocks = roles.get("block", ())
    owner = {
        id(p): layer_name("block", i) for i, block in enumerate(blocks) for p in block.parameters()
    }
    groups: dict[str, list[str]] = {"embedding": []}
    groups |= {layer_name("block", i): [] for i in range(len(blocks))} | {"head": []}
    where = "embedding"
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if id(parameter) in owner:
            groups[owner[id(parameter)]].append(name)
            where = "head"
        else:
            groups[where].append(name)
    trained = {n for n, p in module.named_parameters(remove_duplicate=False) if p.requires_grad}
    chosen = {group: [n for n in names if n in trained] for group, names in groups.items()}
    return {group: names for group, names in chosen.items() if names} if blocks else {}
