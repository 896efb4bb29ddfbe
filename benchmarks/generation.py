"""Generating with remembered keys and values against reading the whole text for each token.

Both continue the same prompts with the same model, in turns, so that the machine's moods hit both:

    python benchmarks/generation.py [--presets nanogpt-gpu gpt2-small] [--tokens 128] [--rounds 3]

Prints tokens per second of each, and the ratio; the tokens are the same.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn

from lightning_modules.generation import generate
from lightning_modules.gpt.model import GPT
from studies.generation import Sampling
from studies.loading import load_study

VOCABULARY_SIZE = 1024
PROMPT_TOKENS = 16


def seconds(model: nn.Module, prompts: int, tokens: int, context: int) -> float:
    """Time of one batch of continuations."""
    sampling = Sampling(temperature=0, max_new_tokens=tokens)
    started = time.perf_counter()
    texts = [list(range(n, n + PROMPT_TOKENS)) for n in range(prompts)]
    generate(model, texts, sampling, context_length=context, end=None)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=["nanogpt-gpu", "gpt2-small"])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.presets:
        config = load_study(name).study.model
        model = GPT(config, VOCABULARY_SIZE, seed=0)
        rereading = nn.Sequential(model)  # no GPT to the generator, which then remembers nothing
        sizes = options.prompts, options.tokens, config.context_length
        times = [
            (seconds(model, *sizes), seconds(rereading, *sizes)) for _ in range(options.rounds)
        ]
        total = options.prompts * options.tokens
        remembered, reread = (
            total / statistics.median(column) for column in zip(*times, strict=True)
        )
        ratio = statistics.median(again / once for once, again in times)
        print(
            f"{name}, {options.prompts} x {options.tokens} tokens: {remembered:.1f} tokens/s, "
            f"{reread:.1f} by reading all again: {ratio:.1f} times as fast"
        )


if __name__ == "__main__":
    main()
