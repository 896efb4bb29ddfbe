"""Where a norm fixes what a diagnostic would measure."""

from __future__ import annotations

from studies.metrics import ByConstruction


def fixed_by_norms(note: str, norms: tuple[str, ...]) -> tuple[ByConstruction, ...]:
    """Rules that hold at the output of these norms: where they stand, and in a post-norm stream."""
    outputs = ("attention_norm", "feed_forward_norm", "final_norm")
    return (
        ByConstruction(note, taps=outputs, when={"model.norm": norms}),
        ByConstruction(
            f"the stream is the output of a norm: {note}",
            taps=("residual",),
            when={"model.placement": ("post",), "model.norm": norms},
            first_index=1,  # before the first block stands the embedding
        ),
    )
