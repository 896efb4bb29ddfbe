"""Size and cost of a built-in GPT from its configuration alone, without building it."""

from __future__ import annotations

from dataclasses import dataclass

from studies.matching import matched_width
from studies.schema import ModelConfig
from studies.vocabulary import ACTIVATIONS, NORMS, PLACEMENTS, POSITIONS


@dataclass(frozen=True)
class Estimate:
    """Parameters and FLOPs of a model."""

    parameters: int
    """Trainable parameters, shared ones once."""
    parameters_non_embedding: int
    """Without token and position embeddings; an untied head counts."""
    flops_per_token: float
    """Forward and backward, at full context."""


def hidden_width(model: ModelConfig) -> int:
    """Hidden units of a feed-forward: `d_ff` as a plan resolves it, or what null stands for."""
    return matched_width(model, "parameters") if model.d_ff is None else model.d_ff


def estimate(model: ModelConfig, vocabulary_size: int) -> Estimate:
    """Exact parameters of the model, and the FLOPs that one token costs in training.

    A weight that multiplies a token costs 2 FLOPs forward and 4 backward. Attention scores and
    their product with the values cost 4 T d forward per layer, three times that with backward;
    the causal half that a kernel may skip is counted, element-wise work is not.

    Source: Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022, appendix B.
    """
    embedding = vocabulary_size * model.d_model
    if POSITIONS[model.position].learnt:
        embedding += model.context_length * model.d_model
    weights = model.n_layers * _block_weights(model) + vocabulary_size * model.d_model
    head = 0 if model.tied_head else vocabulary_size * model.d_model
    non_embedding = (
        model.n_layers * (_block_weights(model) + _block_vectors(model))
        + _outer_vectors(model)
        + head
    )
    attention = 12 * model.n_layers * model.d_model * model.context_length
    return Estimate(embedding + non_embedding, non_embedding, float(6 * weights + attention))


def _matrices_in(model: ModelConfig) -> int:
    return 2 if ACTIVATIONS[model.activation].gated else 1


def _block_weights(model: ModelConfig) -> int:
    """Entries of the matrices of a block."""
    feed_forward = (_matrices_in(model) + 1) * model.d_model * hidden_width(model)
    return 4 * model.d_model**2 + feed_forward


def _block_vectors(model: ModelConfig) -> int:
    """Biases and norms of a block."""
    biases = 5 * model.d_model + _matrices_in(model) * hidden_width(model) if model.bias else 0
    qk_norms = 2 * _gain_and_bias(model, model.d_model // model.n_heads) if model.qk_norm else 0
    return biases + qk_norms + 2 * PLACEMENTS[model.placement].norms * _norm(model)


def _outer_vectors(model: ModelConfig) -> int:
    """What stands outside the blocks: the final norm and the scale of the embedding."""
    placement = PLACEMENTS[model.placement]
    final_norm = _norm(model) if placement.final_norm else 0
    return final_norm + int(scales_embedding(model))


def scales_embedding(model: ModelConfig) -> bool:
    """Whether the embedding has a learnt scale."""
    return NORMS[model.norm].scales_embedding and PLACEMENTS[model.placement].norms > 0


def _norm(model: ModelConfig) -> int:
    norm = NORMS[model.norm]
    return norm.scalars + (_gain_and_bias(model, model.d_model) if norm.has_gain else 0)


def _gain_and_bias(model: ModelConfig, width: int) -> int:
    return width * (1 + model.bias) if model.norm_affine else 0
