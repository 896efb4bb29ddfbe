"""How sharp attention is on the probe batch.

Legend: B batch, H heads, T time (queries), S time (keys), K channels of a head.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.diagnostics.base import TapDiagnostic
from lightning_modules.diagnostics.taps import Look, full_precision, wide
from lightning_modules.schedule import Cost
from studies.metrics import Metric, layer_name

MAX_LOGIT, ENTROPY = "attention_max_logit", "attention_entropy"
ENTROPY_MIN = "attention_entropy_min"


class AttentionSharpness(TapDiagnostic):
    """Largest logit and normalised entropy of the causal attention weights.

    Fused attention hides both, so they are computed from the queries and keys.
    """

    cost: ClassVar = Cost.PROBE
    taps: ClassVar = ("attention_output",)
    definitions: ClassVar[Mapping[str, Metric]] = {
        MAX_LOGIT: Metric(
            label="largest attention logit",
            unit="",
            direction="neither",
            definition="largest scaled product of a query with a key at or before it, over tokens "
            "and heads, on the probe batch",
            formula=r"\max_{h,\, s \le t} q_{ht} \cdot k_{hs} / \sqrt{K}",
            source="Dehghani et al. 2023; Wortsman et al. 2023",
        ),
        ENTROPY: Metric(
            label="attention entropy",
            unit="share",
            direction="neither",
            definition="entropy of a token's attention weights over the logarithm of the number "
            "of tokens that it sees (1: uniform, 0: a single token); mean over tokens from the "
            "second on and over heads, on the probe batch",
            formula=r"\mathbb{E}_{h,\, t \ge 1} \left[ -\sum_{s \le t} a_{hts} \ln a_{hts} "
            r"\, / \, \ln(t+1) \right]",
            source="Zhai et al. 2023 (there not over the logarithm)",
        ),
        ENTROPY_MIN: Metric(
            label="attention entropy, sharpest head",
            unit="share",
            direction="neither",
            definition="entropy of a token's attention weights over the logarithm of the number "
            "of tokens that it sees, mean over tokens from the second on, of the head where it is "
            "least, on the probe batch",
            formula=r"\min_h \mathbb{E}_{t \ge 1} \left[ -\sum_{s \le t} a_{hts} \ln a_{hts} "
            r"\, / \, \ln(t+1) \right]",
            source="Zhai et al. 2023 (there not over the logarithm)",
        ),
    }

    def look(self, look: Look) -> None:
        """Note the numbers of a block, if its attention shows queries and keys."""
        heads = queries_and_keys(look.module, look.given)
        if heads is None:
            return
        queries_BHTK, keys_BHTK = heads
        with full_precision(queries_BHTK):
            logits_BHTS = wide(queries_BHTK) @ wide(keys_BHTK).mT / queries_BHTK.shape[-1] ** 0.5
        time = logits_BHTS.shape[-1]
        future_TS = torch.ones(time, time, dtype=torch.bool, device=logits_BHTS.device).triu(1)
        logits_BHTS = logits_BHTS.masked_fill(future_TS, -torch.inf)
        block = layer_name("block", look.index)
        self.note(MAX_LOGIT, block, logits_BHTS.amax())
        if time > 1:
            entropy_H = normalized_entropy(logits_BHTS)
            self.note(ENTROPY, block, entropy_H.mean())
            self.note(ENTROPY_MIN, block, entropy_H.amin())


def queries_and_keys(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """What causal self-attention computes of its input, (B, H, T, K) each.

    From a method `heads(x)` of the module, or as torch's own attention does it; None where
    neither applies.
    """
    if inspect.ismethod(heads := getattr(module, "heads", None)):
        queries_BHTK, keys_BHTK, _ = heads(x)
        return queries_BHTK, keys_BHTK
    if not isinstance(module, nn.MultiheadAttention) or x.dim() != 3:
        return None
    if module.in_proj_weight is None or module.bias_k is not None or module.add_zero_attn:
        return None  # keys of another width, or one more than there are tokens
    x_BTD = x if module.batch_first else x.transpose(0, 1)
    projected_BTD = F.linear(x_BTD, module.in_proj_weight, module.in_proj_bias)
    split_3BHTK = projected_BTD.view(*x_BTD.shape[:2], 3, module.num_heads, -1).permute(
        2, 0, 3, 1, 4
    )
    return split_3BHTK[0], split_3BHTK[1]


def normalized_entropy(logits_BHTS: Tensor) -> Tensor:
    """Mean over tokens from the second on of entropy over ln(t + 1), for each head, (H,)."""
    entropy_BHT: Tensor = torch.special.entr(logits_BHTS[:, :, 1:].softmax(-1)).sum(-1)
    time = logits_BHTS.shape[-1]
    seen_T = torch.arange(2, time + 1, device=logits_BHTS.device, dtype=logits_BHTS.dtype)
    return (entropy_BHT / seen_T.log()).mean((0, 2))
