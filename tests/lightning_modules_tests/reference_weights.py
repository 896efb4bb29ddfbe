"""Run as a program beside `transformers`: random weights that it writes, and their logits.

Each folder has a `config.json` and `tokens.safetensors`. The weights are written into it, and those
of the model without its head into `base`; `reference.safetensors` has the logits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

for folder in map(Path, sys.argv[1:]):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases are zero and gains one until then
            parameter += 0.05 * torch.randn_like(parameter)
        logits = model(load_file(folder / "tokens.safetensors")["tokens"]).logits
    model.save_pretrained(folder)
    model.base_model.save_pretrained(folder / "base")
    save_file({"logits": logits.contiguous()}, folder / "reference.safetensors")
