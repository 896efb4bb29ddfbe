"""Where a norm fixes what a diagnostic would measure."""

from __future__ import annotations

from studies.metrics import ByConstruction

BATCH_NORMS = ("batch",)
"""Norms that standardise each channel, as far as their running statistics keep up. Those of
`batch_position` come from a few sequences, and do not."""
TOKEN_NORMS = ("layer", "rms", "group")
"""Norms that make the mean square of each token's channels 1, before their gain and bias."""


OUTPUTS = (
    "attention_norm", "attention_output_norm",
    "feed_forward_norm", "feed_forward_output_norm", "final_norm",
)  # fmt: skip


def fixed_by_norms(
    note: str, norms: tuple[str, ...], outputs: tuple[str, ...] = OUTPUTS
) -> tuple[ByConstruction, ...]:
    """Rules that hold at the output of these norms: at these taps, and in a post-norm stream."""
    return (
        ByConstruction(note, taps=outputs, when={"model.norm": norms}),
        ByConstruction(
            f"the stream is a norm's output, and {note}",
            taps=("residual",),
            when={"model.placement": ("post",), "model.norm": norms},
            first_index=1,  # before the first block stands the embedding
        ),
    )
