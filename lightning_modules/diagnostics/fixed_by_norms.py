"""Where a norm fixes what a diagnostic would measure."""

from __future__ import annotations

from studies.metrics import ByConstruction

BATCH_NORMS = ("batch", "batch_position")
TOKEN_NORMS = ("layer", "rms", "group")
"""Norms that fix the mean square of each token's channels, but for their gain and bias."""


def fixed_by_norms(note: str, norms: tuple[str, ...]) -> tuple[ByConstruction, ...]:
    """Rules that hold at the output of these norms: where they stand, and in a post-norm stream."""
    outputs = ("attention_norm", "feed_forward_norm", "final_norm")
    return (
        ByConstruction(note, taps=outputs, when={"model.norm": norms}),
        ByConstruction(
            f"the stream is a norm's output, and {note}",
            taps=("residual",),
            when={"model.placement": ("post",), "model.norm": norms},
            first_index=1,  # before the first block stands the embedding
        ),
    )
