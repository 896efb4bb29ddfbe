"""Norms of the gradients before clipping: in all, by block and by kind of parameter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_modules.diagnostics.base import Diagnostic, Readings, Subject
from lightning_modules.gpt.model import GPT
from lightning_modules.gpt.roles import named_roles
from studies.records import Metric, series_name

FAMILY = "gradient_norm"


class GradientNorms(Diagnostic):
    """L2 norm of the gradient over groups of parameters, in one reduction."""

    definitions: ClassVar[Mapping[str, Metric]] = {
        FAMILY: Metric(
            "gradient norm",
            "",
            "neither",
            "L2 norm of the gradient of the step's mean loss before clipping, over all parameters "
            "(total), those of a block (block_NN), or those of a kind",
        )
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._parameters = [p for p in subject.model.parameters() if p.requires_grad]
        groups = _groups(subject.model)
        self._names = tuple(f"{FAMILY}/{name}" for name in groups)
        members = [[float(id(p) in group) for p in self._parameters] for group in groups.values()]
        # (groups, parameters), 1 where the parameter is in the group
        self._membership = torch.tensor(members, device=subject.probe_BT.device)

    def read_gradients(self) -> Readings:
        """Norm of each group: the root of the sum of its parameters' squared norms."""
        absent = self._membership.new_zeros(())
        gradients = [absent if p.grad is None else p.grad for p in self._parameters]
        norms: Tensor = torch.stack([n.float() for n in torch._foreach_norm(gradients)])
        return Readings(self._names, (self._membership @ norms.square()).sqrt())


def _groups(model: nn.Module) -> dict[str, set[int]]:
    """Name of each group to the identities of its parameters."""
    groups: dict[str, set[int]] = defaultdict(set)
    groups["total"] = {id(p) for p in model.parameters()}
    if isinstance(model, GPT):
        for index, block in enumerate(model.blocks):
            name = series_name(FAMILY, "block", index).rpartition("/")[2]
            groups[name] = {id(p) for p in block.parameters()}
        roles = named_roles(model)
        for name, parameter in model.named_parameters():
            groups[roles[name].kind].add(id(parameter))
    return groups
