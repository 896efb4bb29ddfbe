"""Linear maps and embeddings that know their role and leave their values to `initialization`."""

from __future__ import annotations

from torch import nn

from lightning_modules.gpt.roles import Kind, Role, constant_role


class Linear(nn.Linear):
    """y = W x (+ b)."""

    parameter_roles: dict[str, Role]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool,
        kind: Kind,
        parallel: int = 1,
        writes_residual: bool = False,
    ) -> None:
        """`parallel` is how many maps of equal shape are computed as one."""
        super().__init__(in_features, out_features, bias)
        self.parameter_roles = {
            "weight": Role(
                kind,
                decays=True,
                fan_in=in_features,
                fan_out=out_features // parallel,
                writes_residual=writes_residual,
            ),
            "bias": constant_role(kind, 0.0),
        }

    def reset_parameters(self) -> None:
        """Nothing: torch's own draw would cost time and disturb the global random state."""


class Embedding(nn.Embedding):
    """A learnt vector per row. Its fans are those of the output head that may share it."""

    parameter_roles: dict[str, Role]

    def __init__(self, rows: int, width: int) -> None:
        super().__init__(rows, width)
        self.parameter_roles = {
            "weight": Role("embedding", decays=True, fan_in=width, fan_out=rows)
        }

    def reset_parameters(self) -> None:
        """Nothing, for the reasons of `Linear`."""
