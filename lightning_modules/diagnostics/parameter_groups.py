"""Groups of parameters that norms are taken over: all, by block, by kind, by depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

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
    "attention_output_norm": "norm",
    "feed_forward_norm": "norm",
    "feed_forward_output_norm": "norm",
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


def groups_by_depth(
    module: nn.Module, roles: ModuleRoles, run: Callable[[], object]
) -> dict[str, list[str]]:
    """Names of the trained parameters before the blocks, of each block, and after them.

    Depth is the order in which `run` calls the modules. A parameter that is used twice, such as a
    head tied to the embedding, is named in both places.
    """
    blocks = roles.get("block", ())
    if not blocks:
        return {}
    names = [layer_name("block", index) for index in range(len(blocks))]
    owner = {id(p): n for n, block in zip(names, blocks, strict=True) for p in block.parameters()}
    groups: dict[str, list[str]] = {group: [] for group in ("embedding", *names, "head")}
    after_blocks = _called_after(module, blocks, run)
    for name, parameter in parameter_slots(module):
        if parameter.requires_grad:
            holder = module.get_submodule(name.rpartition(".")[0])
            outside = "head" if id(holder) in after_blocks else "embedding"
            groups[owner.get(id(parameter), outside)].append(name)
    return {group: members for group, members in groups.items() if members}


def parameter_slots(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Every place that holds a parameter, once, by the first name of the sub-module it is in.

    A head tied to the embedding is a place of its own; a block that stands in a list twice is not,
    and to put another tensor there under both names would leave it there.
    """
    for prefix, part in module.named_modules():
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            yield f"{prefix}.{name}".lstrip("."), parameter


def _called_after(
    module: nn.Module, blocks: Sequence[nn.Module], run: Callable[[], object]
) -> set[int]:
    """Identities of the modules that are first called once a block was."""
    order: list[int] = []

    def note(called: nn.Module, *_: object) -> None:
        if id(called) not in order:
            order.append(id(called))

    with ExitStack() as hooks:
        for part in module.modules():
            hooks.callback(part.register_forward_pre_hook(note).remove)
        run()
    first = min((order.index(id(b)) for b in blocks if id(b) in order), default=len(order))
    return set(order[first:])
