"""Where diagnostics look into a GPT: the same points for every placement of the norms."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from torch import Tensor, nn

from lightning_modules.gpt.model import GPT


def run_with_residual_taps(
    model: GPT, tokens_BT: Tensor, look: Callable[[int, Tensor], None]
) -> None:
    """Run the model and show `look` the residual stream (B, T, D) at each of L+1 taps.

    Tap i stands before block i, and tap L after the last block, before any final norm.
    """

    def before(index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda block, inputs: look(index, inputs[0])

    with ExitStack() as hooks:
        for index, block in enumerate(model.blocks):
            hooks.callback(block.register_forward_pre_hook(before(index)).remove)
        last = model.blocks[-1].register_forward_hook(
            lambda block, inputs, output: look(len(model.blocks), output)
        )
        hooks.callback(last.remove)
        model(tokens_BT)
