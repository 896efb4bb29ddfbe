"""Equal size: the hidden width that a protocol gives a feed-forward, and what it came to."""

from __future__ import annotations

from studies.schema import ModelConfig
from studies.vocabulary import ACTIVATIONS


def matched_width(model: ModelConfig, match: str) -> int:
    """Hidden units of a feed-forward whose ungated form has `d_ff` (4 d_model unless told).

    A gated one has three matrices in place of two. Equal FLOPs (of matrix products) need 2/3 of the
    width; equal parameters need the same, but for biases: with them (3 d + 2) h + d parameters
    stand against (2 d + 1) d_ff + d.

    Source: Shazeer 2020, section 3.
    """
    width = 4 * model.d_model if model.d_ff is None else model.d_ff
    if match == "none" or not ACTIVATIONS[model.activation].gated:
        return width
    if match == "parameters" and model.bias:
        return max(1, round((2 * model.d_model + 1) * width / (3 * model.d_model + 2)))
    return max(1, round(2 * width / 3))
