"""Run as a program beside `transformers`: what it makes of folders with models.

For each folder it writes `reference.safetensors`: the logits of `tokens.safetensors`, the tokens of
`text.txt` by the folder's tokeniser, and a greedy continuation.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

for folder in map(Path, sys.argv[1:]):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokens = load_file(folder / "tokens.safetensors")["tokens"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = (folder / "text.txt").read_text()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    with torch.no_grad():
        logits = model(tokens).logits
        written = model.generate(tokens[:1, :4], max_length=tokens.shape[1], do_sample=False)
    found = {"logits": logits, "ids": torch.tensor(ids), "written": written[0]}
    save_file({name: t.contiguous() for name, t in found.items()}, folder / "reference.safetensors")
