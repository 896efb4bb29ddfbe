"""The architectures that a GPT can be: one function of names each, and a row in the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightning_modules.gpt.positions import ROPE_BASE
from lightning_modules.hugging_face.base import Architecture, Entry
from studies.errors import AblationError
from studies.estimates import hidden_width
from studies.registry import Registry
from studies.schema import ModelConfig

_UNGATED = {
    "gelu_tanh": "gelu_new",
    "gelu": "gelu",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
}
_GATED = {
    "swiglu": "silu",
    "geglu": "gelu",
    "reglu": "relu",
    "glu": "sigmoid",
    "bilinear": "linear",
}
_MASKS = (".attn.bias", ".attn.masked_bias")


def _linear(ours: str, *theirs: str, bias: int = 0, transposed: bool = False) -> Iterator[Entry]:
    """Weights of a linear map, and with `bias` outputs of each of theirs its biases."""
    weights = tuple(f"{name}.weight" for name in theirs)
    yield Entry(f"{ours}.weight", weights, transposed)
    if bias:
        biases = tuple(f"{name}.bias" for name in theirs)
        yield Entry(f"{ours}.bias", biases, absent=0.0, width=bias)


def _norm(ours: str, theirs: str, width: int, *, bias: bool) -> Iterator[Entry]:
    yield Entry(f"{ours}.gain", (f"{theirs}.weight",), absent=1.0, width=width)
    if bias:
        yield Entry(f"{ours}.bias", (f"{theirs}.bias",), absent=0.0, width=width)


def _head(config: ModelConfig) -> Iterator[Entry]:
    if not config.tied_head:
        yield Entry("head.weight", ("lm_head.weight",))


def _gpt_blocks(config: ModelConfig) -> Iterator[Entry]:
    """The blocks of GPT-1 and GPT-2, which differ in where their norms stand."""
    width, hidden = config.d_model, hidden_width(config)
    for number in range(config.n_layers):
        ours, theirs = f"blocks.{number}", f"transformer.h.{number}"
        for part, name, outputs in (
            ("attention.input", "attn.c_attn", 3 * width),
            ("attention.output", "attn.c_proj", width),
            ("feed_forward.input", "mlp.c_fc", hidden),
            ("feed_forward.output", "mlp.c_proj", width),
        ):
            yield from _linear(f"{ours}.{part}", f"{theirs}.{name}", bias=outputs, transposed=True)
        yield from _norm(f"{ours}.attention_residual.norm", f"{theirs}.ln_1", width, bias=True)
        yield from _norm(f"{ours}.feed_forward_residual.norm", f"{theirs}.ln_2", width, bias=True)


def _gpt1_entries(config: ModelConfig) -> Iterator[Entry]:
    yield Entry("token_embedding.weight", ("transformer.tokens_embed.weight",))
    yield Entry("position_embedding.weight", ("transformer.positions_embed.weight",))
    yield from _gpt_blocks(config)


def _gpt2_entries(config: ModelConfig) -> Iterator[Entry]:
    yield Entry("token_embedding.weight", ("transformer.wte.weight",))
    yield Entry("position_embedding.weight", ("transformer.wpe.weight",))
    yield from _gpt_blocks(config)
    yield from _norm("final_norm", "transformer.ln_f", config.d_model, bias=True)
    yield from _head(config)


def _llama_entries(config: ModelConfig) -> Iterator[Entry]:
    yield Entry("token_embedding.weight", ("model.embed_tokens.weight",))
    for number in range(config.n_layers):
        ours, theirs = f"blocks.{number}", f"model.layers.{number}"
        attention, mlp = f"{theirs}.self_attn", f"{theirs}.mlp"
        heads = (f"{attention}.{name}_proj" for name in "qkv")
        yield from _linear(f"{ours}.attention.input", *heads)
        yield from _linear(f"{ours}.attention.output", f"{attention}.o_proj")
        yield from _linear(f"{ours}.feed_forward.input", f"{mlp}.gate_proj", f"{mlp}.up_proj")
        yield from _linear(f"{ours}.feed_forward.output", f"{mlp}.down_proj")
        for part, name in (
            ("attention_residual", "input_layernorm"),
            ("feed_forward_residual", "post_attention_layernorm"),
        ):
            yield from _norm(f"{ours}.{part}.norm", f"{theirs}.{name}", config.d_model, bias=False)
    yield from _norm("final_norm", "model.norm", config.d_model, bias=False)
    yield from _head(config)


def _gpt_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_embd": config.d_model,
        "n_positions": config.context_length,
        "layer_norm_epsilon": config.norm_eps,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), config.dropout),
    }


def _gpt1_config(config: ModelConfig, activation: str) -> dict[str, Any]:
    return {**_gpt_config(config), "afn": activation}


def _gpt2_config(config: ModelConfig, activation: str) -> dict[str, Any]:
    return {
        **_gpt_config(config),
        "n_inner": hidden_width(config),
        "activation_function": activation,
    }


def _llama_config(config: ModelConfig, activation: str) -> dict[str, Any]:
    return {
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_heads,
        "hidden_size": config.d_model,
        "intermediate_size": hidden_width(config),
        "max_position_embeddings": config.context_length,
        "hidden_act": activation,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": ROPE_BASE,
        "attention_dropout": config.dropout,
        "attention_bias": False,
        "mlp_bias": False,
    }


def _four_times_as_wide(config: ModelConfig) -> Iterator[str]:
    if hidden_width(config) != 4 * config.d_model:
        yield f"model.d_ff = {hidden_width(config)}, which is not 4 d_model"


_ROWS = (
    Architecture(
        "gpt2",
        "GPT2LMHeadModel",
        {"norm": ("layer",), "placement": ("pre",), "position": ("learned",), "qk_norm": (False,)},
        _UNGATED,
        _gpt2_config,
        _gpt2_entries,
        ("n_head", "layer_norm_epsilon", "activation_function"),
        {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
        _MASKS,
    ),
    Architecture(
        "openai-gpt",
        "OpenAIGPTLMHeadModel",
        {
            "norm": ("layer",),
            "placement": ("post",),
            "position": ("learned",),
            "qk_norm": (False,),
            "tied_head": (True,),
        },
        {"gelu_tanh": "gelu", "relu": "relu", "silu": "silu"},
        _gpt1_config,
        _gpt1_entries,
        ("n_head", "layer_norm_epsilon", "afn"),
        {},
        _MASKS,
        _four_times_as_wide,
    ),
    Architecture(
        "llama",
        "LlamaForCausalLM",
        {
            "norm": ("rms",),
            "placement": ("pre",),
            "position": ("rope",),
            "qk_norm": (False,),
            "bias": (False,),
        },
        _GATED,
        _llama_config,
        _llama_entries,
        ("num_attention_heads", "rms_norm_eps", "hidden_act", "rope_theta"),
        {"rope_type": "default", "rope_scaling": None},
        (".rotary_emb.inv_freq",),
    ),
)

ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture", {row.model_type: row for row in _ROWS}
)


def architecture_of(config: ModelConfig) -> Architecture | None:
    """The architecture that a model is; None where it is none of them."""
    fitting = (row for row in ARCHITECTURES.values() if not row.obstacles(config))
    return next(fitting, None)


def require_architecture(config: ModelConfig, remedy: str) -> Architecture:
    """The architecture that a model is.

    Raises:
        AblationError: it is none that the library has; the message says what keeps it from each,
            and ends with the remedy.
    """
    found = architecture_of(config)
    if found is None:
        reasons = "\n".join(
            f"  - {row.class_name}: {', '.join(row.obstacles(config))}"
            for row in ARCHITECTURES.values()
        )
        raise AblationError(
            "this variant is no architecture that `transformers` has without code of its own:\n"
            f"{reasons}\n{remedy}"
        )
    return found
