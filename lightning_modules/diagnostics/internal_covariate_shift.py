"""Internal covariate shift, by its definition through gradients.

How much does the step that the layers below have made change the gradient that a layer sees on the
same batch? It says nothing about distributions of activations: those are `activation_drift`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lightning_modules.diagnostics.base import NO_READINGS, Diagnostic, Readings, Subject
from lightning_modules.diagnostics.parameter_groups import groups_by_depth, parameter_slots
from lightning_modules.diagnostics.running_statistics import batch_norms, on_batch_statistics
from lightning_modules.diagnostics.taps import precise
from lightning_modules.evaluation import evaluation_mode
from lightning_modules.manners import unlogged
from lightning_modules.schedule import Cost
from lightning_modules.synchronisation import sum_over_ranks
from studies.errors import AblationError
from studies.metrics import Metric

RELATIVE, COSINE = "ics_l2", "ics_cosine"

_DEFINITION = (
    "G is the gradient of the validation step's loss by the parameters of a group (embedding, "
    "block_NN, head) on the step's last micro-batch, G' the same after all groups below have made "
    "the run's own optimiser step; batch statistics, no dropout, no autocast; a tied head is "
    "untied for it; by definition 0 and 1 for the embedding, which has nothing below"
)

Weights = Mapping[str, Tensor]


class InternalCovariateShift(Diagnostic):
    """|G - G'| / |G| and cos(G, G') of each group of parameters, in the order of depth."""

    cost: ClassVar = Cost.RARE
    of_update: ClassVar = True
    definitions: ClassVar[Mapping[str, Metric]] = {
        RELATIVE: Metric(
            label="internal covariate shift",
            unit="",
            direction="neither",
            definition="relative distance of two gradients: " + _DEFINITION,
            formula=r"\lVert G_i - G'_i \rVert_2 \,/\, \lVert G_i \rVert_2",
            source="Santurkar et al. 2018, definition 2.1; relative, since scale-invariant weights "
            "have gradients of any size",
            scale="log",
            of_step=True,
        ),
        COSINE: Metric(
            label="cosine of internal covariate shift",
            unit="",
            direction="neither",
            definition="cosine of two gradients: " + _DEFINITION,
            formula=r"\cos(G_i, G'_i)",
            source="Santurkar et al. 2018, definition 2.1",
            of_step=True,
        ),
    }

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        with evaluation_mode(subject.module), unlogged(subject.module):
            self._groups = groups_by_depth(subject.module, subject.roles, self._try)
        self._before: dict[str, Tensor] = {}

    def _try(self) -> None:
        try:
            self.subject.exact_loss(self.subject.probe_BT)
        except RuntimeError as error:
            raise AblationError(
                "internal_covariate_shift takes gradients without autocast, where validation_step "
                f"fails: {error}; leave it out of diagnostics.enabled, or mend the module"
            ) from error

    def before_step(self) -> None:
        """Keep the parameters as they are."""
        if self._groups:
            self._before = {name: p.clone() for name, p in _parameters(self.subject.module)}

    def after_step(self, batch_BT: Tensor) -> Readings:
        """A gradient of all groups before the step, and one of each with those below stepped.

        There is nothing below the first group: both of its gradients are one.
        """
        before, self._before = self._before, {}
        if not before:
            return NO_READINGS
        after = dict(_parameters(self.subject.module))
        gradients = _Gradients(self.subject, batch_BT)
        groups = list(self._groups.values())
        old = gradients(before, [name for group in groups for name in group])
        mixed, values = dict(before), []
        for below, group in zip([[], *groups], groups, strict=False):
            mixed |= {name: after[name] for name in below}
            new = gradients(mixed, group) if below else old
            values.append(compare([old[name] for name in group], [new[name] for name in group]))
        names = [f"{family}/{group}" for family in (RELATIVE, COSINE) for group in self._groups]
        return Readings(names, torch.stack(values, dim=1).flatten())


class _Gradients:
    """Gradients of the loss on one batch at any weights, computed without touching the module."""

    def __init__(self, subject: Subject, batch_BT: Tensor) -> None:
        self._subject, self._batch_BT = subject, batch_BT

    def __call__(self, weights: Weights, wanted: Sequence[str]) -> dict[str, Tensor]:
        """The gradient by each wanted parameter; zeros where the loss does not depend on it.

        That of the mean loss over the ranks, each of which has a share of the batch.
        """
        module = self._subject.module
        leaves = {name: value.detach() for name, value in weights.items()}
        for name in wanted:
            leaves[name].requires_grad_()
        values = {f"module.{name}": value for name, value in leaves.items()}
        with (
            evaluation_mode(module),
            on_batch_statistics(batch_norms(module)),
            torch.enable_grad(),
        ):
            loss = functional_call(
                _ExactLoss(self._subject), values, (self._batch_BT,), tie_weights=False
            )
            found = torch.autograd.grad(
                loss, [leaves[name] for name in wanted], materialize_grads=True
            )
        if self._subject.ranks > 1:
            found = tuple(sum_over_ranks(g) / self._subject.ranks for g in found)
        return dict(zip(wanted, found, strict=True))


class _ExactLoss(nn.Module):
    """The loss of a subject as a forward pass."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.module, self._subject = subject.module, subject

    def forward(self, batch_BT: Tensor) -> Tensor:
        return self._subject.exact_loss(batch_BT)


def compare(old: Sequence[Tensor], new: Sequence[Tensor]) -> Tensor:
    """Relative L2 distance and cosine of two gradients given as lists of tensors, (2,)."""
    total = precise(old[0].new_zeros(()))
    distance2, old2, new2, product = (
        sum((f(a, b).sum(dtype=total.dtype) for a, b in zip(old, new, strict=True)), total)
        for f in (
            lambda a, b: (a - b).square(),
            lambda a, b: a.square(),
            lambda a, b: b.square(),
            torch.mul,
        )
    )
    return torch.stack([(distance2 / old2).sqrt(), product / (old2.sqrt() * new2.sqrt())])


def _parameters(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    return ((name, parameter.detach()) for name, parameter in parameter_slots(module))
