"""The position-wise feed-forward, gated or not.

Legend: B batch, T time, D model, F hidden, P projected (F, or 2 F when gated).
"""

from __future__ import annotations

from torch import Tensor, nn

from lightning_modules.gpt.activations import Activation
from lightning_modules.gpt.layers import Linear
from studies import vocabulary
from studies.estimates import hidden_width
from studies.schema import ModelConfig


class FeedForward(nn.Module):
    """W_out f(W_in x), or W_out (f(W x) * V x) when gated. Source: Shazeer 2020."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, hidden = config.d_model, hidden_width(config)
        parallel = 2 if vocabulary.ACTIVATIONS[config.activation].gated else 1
        self.activation = Activation(config.activation)
        self.input = Linear(
            width, parallel * hidden, bias=config.bias, kind="feed_forward", parallel=parallel
        )
        self.output = Linear(
            hidden, width, bias=config.bias, kind="feed_forward", writes_residual=True
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What the feed-forward adds to the residual stream, (B, T, D)."""
        hidden_BTF = self.activation(self.input(x_BTD))
        out_BTD: Tensor = self.dropout(self.output(hidden_BTF))
        return out_BTD
