"""Where diagnostics look into a model: the same points for every placement of the norms.

Legend: N tokens, D channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from lightning_modules.diagnostics.module_roles import ModuleRoles
from studies.errors import AblationError
from studies.metrics import layer_name

T = TypeVar("T")


class Tap(NamedTuple):
    """Which modules a tap is at, and on which side of them."""

    role: str
    at_input: bool = False


TAPS: dict[str, Tap] = {
    "residual": Tap("block", at_input=True),
    "attention_norm": Tap("attention_norm"),
    "attention_output": Tap("attention"),
    "attention_output_norm": Tap("attention_output_norm"),
    "feed_forward_norm": Tap("feed_forward_norm"),
    "feed_forward_output": Tap("feed_forward"),
    "feed_forward_output_norm": Tap("feed_forward_output_norm"),
    "pre_activation": Tap("activation", at_input=True),
    "hidden": Tap("activation"),
    "final_norm": Tap("final_norm"),
}
"""The taps of `studies.diagnostics.TAPS`. What the last block gives is one more `residual`."""


class Look:
    """One tap in one forward pass. Moments are taken over tokens, once for all that ask."""

    def __init__(self, tap: str, index: int, module: nn.Module, given: Tensor, x: Tensor) -> None:
        self.tap, self.index, self.module = tap, index, module
        self.name = layer_name(tap, index)
        self.given = given
        """What the module was given."""
        self.x_ND = wide(x.detach()).flatten(0, -2)
        """The activations, in single precision or better."""

    @cached_property
    def moments(self) -> Moments:
        """Mean and variance of each channel.

        The variance is taken around the mean, since E[x²] - E[x]² cancels where a channel's mean is
        large; the mean of what is left over mends the rounding of the mean itself.
        """
        mean_D = self.x_ND.mean(0)
        centred_ND = self.x_ND - mean_D
        rest_D = precise(centred_ND.mean(0))
        variance_D = precise(centred_ND.square().mean(0)) - rest_D.square()
        return Moments(precise(mean_D) + rest_D, variance_D.clamp(min=0))

    @cached_property
    def power_D(self) -> Tensor:
        """Mean square of each channel."""
        return self.moments.variance_D + self.moments.mean_D.square()

    @cached_property
    def rms(self) -> Tensor:
        """Root mean square of all entries, ()."""
        return self.power_D.mean().sqrt()


class Moments(NamedTuple):
    """Of the channels at a tap, in double precision where the device has it."""

    mean_D: Tensor
    variance_D: Tensor


def wide(x: Tensor) -> Tensor:
    """In single precision or better."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """A context in which products are not made in half precision, whatever training does."""
    device = x.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def precise(x: Tensor) -> Tensor:
    """In double precision, where the device has it: for sums that are later subtracted."""
    return wide(x) if x.device.type == "mps" else x.double()


def run_with_taps(
    run: Callable[[], T],
    roles: ModuleRoles,
    taps: Collection[str],
    show: Callable[[Look], None],
) -> T:
    """Run a forward pass and show each tap that the model has, as the pass comes by.

    Layers are counted as they are called, so that a block that is used twice is two layers.

    Raises:
        AblationError: modules of a role are never called.
    """
    calls: Counter[str] = Counter()
    last_output: list[Tensor] = []

    def see(tap: str, module: nn.Module, given: Tensor | None, x: Tensor) -> None:
        show(Look(tap, calls[tap], module, x if given is None else given, x))
        calls[tap] += 1

    with ExitStack() as hooks:
        for name in taps:
            tap = TAPS[name]
            for module in roles.get(tap.role, ()):
                hooks.callback(_hook(module, name, see, at_input=tap.at_input))
                if tap.role == "block":
                    hooks.callback(_keep_output(module, last_output))
        result = run()
    if last_output:
        see("residual", roles["block"][-1], None, last_output[0])
    _refuse_silence(roles, taps, calls)
    return result


def _hook(
    module: nn.Module,
    tap: str,
    see: Callable[[str, nn.Module, Tensor | None, Tensor], None],
    *,
    at_input: bool,
) -> Callable[[], None]:
    """Look at a module from now on; what is returned ends it."""

    def before(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        given = _tensors((*inputs, *keywords.values()))
        if given:
            see(tap, module, given[0], given[0])

    def after(
        module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any
    ) -> None:
        given, gave = _tensors((*inputs, *keywords.values())), _tensors(output)
        if gave:
            see(tap, module, given[0] if given else None, gave[0])

    if at_input:  # before: a module may write over what it is given
        return module.register_forward_pre_hook(before, with_kwargs=True).remove
    return module.register_forward_hook(after, with_kwargs=True).remove


def _keep_output(block: nn.Module, kept: list[Tensor]) -> Callable[[], None]:
    """Keep what the last call of a block gave."""

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        kept[:] = _tensors(output)[:1]

    return block.register_forward_hook(after).remove


def _refuse_silence(roles: ModuleRoles, taps: Collection[str], calls: Counter[str]) -> None:
    silent = {TAPS[tap].role for tap in taps if roles.get(TAPS[tap].role) and not calls[tap]}
    if silent:
        raise AblationError(
            f"diagnostics.modules: {', '.join(sorted(silent))}: validation_step calls none of "
            "these modules on tensors; name modules that it calls"
        )


def _tensors(value: Any) -> list[Tensor]:
    """Tensors of what a module was given or gives: many return tuples."""
    parts = value if isinstance(value, tuple | list) else [value]
    return [part for part in parts if isinstance(part, Tensor)]
