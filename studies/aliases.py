"""What other code bases call our keys and levels: for hints in errors, never accepted as input."""

from __future__ import annotations

_OTHER_NAMES: dict[str, str] = {
    # keys
    "n_layers": "depth",
    "d_model": "dim embed_dim embedding_dim hidden_dim hidden_size n_embd width",
    "d_ff": "d_hidden d_mlp dim_feedforward ffn_dim ffn_hidden_size intermediate_size n_inner",
    "context_length": "block_size max_position_embeddings max_seq_len n_ctx n_positions seq_len",
    "activation": "act act_fn hidden hidden_act non_linearity nonlinearity",
    "norm": "layer_norm norm_layer norm_type normalisation normalization",
    "norm_eps": "epsilon",
    "placement": "norm_first norm_location norm_placement norm_position pre_norm",
    "position": "pos_emb",
    "tied_head": "weight_tying",
    "initialization": "init init_std weight_init",
    "weights": "checkpoint init_from pretrained_model_name_or_path",
    "corpus": "data dataset text",
    "vocabulary_size": "n_vocab",
    "max_steps": "iterations iters num_iterations",
    "accumulate": "grad_accum grad_accum_steps gradient_accumulation_steps",
    "learning_rate": "lr max_lr peak_lr step_size",
    "final_learning_rate_fraction": "final_lr lr_min min_lr",
    "weight_decay": "wd",
    "gradient_clip_norm": "clip",
    "evaluate_every_steps": "eval_interval eval_steps val_check_interval",
    "log_every_steps": "log_interval",
    # levels
    "silu": "swish",
    "batch": "bn",
    "layer": "ln",
    "group": "gn",
    "none": "identity",
    "learned": "absolute",
    "rope": "rotary",
    # the role of modules whose tap it is
    "block": "residual",
}

ALIASES: dict[str, str] = {
    other: name for name, others in _OTHER_NAMES.items() for other in others.split()
}
"""Another name to ours."""
