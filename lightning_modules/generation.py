"""Generating text: prompts of token ids in, what a model makes of them out.

Legend: B prompts, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_modules.evaluation import evaluation_mode
from lightning_modules.gpt.model import GPT
from lightning_modules.gpt.streaming import streaming
from lightning_modules.seeding import stream_seed
from studies.errors import AblationError
from studies.generation import Sampling

Reader = Callable[[Tensor], Tensor]
"""Maps the tokens so far (B, T), of which the earlier ones are those of the call before, to the
logits (B, V) of the next."""


class Continuation(NamedTuple):
    """What followed a prompt."""

    tokens: list[int]
    """Without the prompt, and without the end token."""
    ended: bool
    """Whether the end token came."""


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    context_length: int,
    end: int | None,
) -> list[Continuation]:
    """Go on with each prompt until the end token, `max_new_tokens`, or a full context.

    Every text starts at position 0, so prompts of different lengths go on in step: while one still
    reads its prompt, another one draws. Each draws from a generator of its own: what comes of a
    prompt depends on its place in the list and the seed, not on the prompts beside it.

    Args:
        model: maps tokens (B, T) to logits (B, T, V). A `GPT` keeps keys and values.
        prompts: tokens, at least one each.
        sampling: how tokens are drawn.
        context_length: tokens that the model can see.
        end: token that ends a text; None where no token does.

    Raises:
        AblationError: a prompt is empty, or fills the context.
    """
    for prompt in prompts:
        check_prompt(prompt, context_length)
    ends = [min(len(p) + sampling.max_new_tokens, context_length) for p in prompts]
    generators = [
        torch.Generator().manual_seed(stream_seed(sampling.seed, "sample", number))
        for number in range(len(prompts))
    ]
    texts = [list(prompt) for prompt in prompts]
    done = [False] * len(texts)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with evaluation_mode(model), _reader(model) as read:
        for length in range(min(map(len, texts), default=0), max(ends, default=0)):
            if all(done):
                break
            # A text that is over is read on, so that the others keep their places.
            sofar_BT = torch.tensor([(t + [t[-1]] * length)[:length] for t in texts], device=device)
            logits_BV = read(sofar_BT).float().cpu()
            for row, text in enumerate(texts):
                if done[row] or len(text) > length:
                    continue
                token = draw(logits_BV[row], sampling, generators[row])
                done[row] = token == end or length + 1 == ends[row]
                text.append(token)
    return [_continuation(text[len(p) :], end) for text, p in zip(texts, prompts, strict=True)]


def draw(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token."""
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    scaled_V = logits_V / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < len(scaled_V):
        least = scaled_V.topk(sampling.top_k).values[-1]
        scaled_V = scaled_V.masked_fill(scaled_V < least, -torch.inf)
    shares_V = scaled_V.softmax(-1)
    if sampling.top_p is not None:
        sorted_V, order_V = shares_V.sort(descending=True, stable=True)
        # A token stays while those before it do not reach the share: the first one always does.
        dropped_V = sorted_V.cumsum(-1) - sorted_V >= sampling.top_p
        shares_V[order_V[dropped_V]] = 0.0
    return int(torch.multinomial(shares_V, 1, generator=generator))


@contextmanager
def _reader(model: nn.Module) -> Iterator[Reader]:
    """Reads only what is new where the model can; a model of one's own reads all again."""
    if not isinstance(model, GPT):
        yield lambda sofar_BT: model(sofar_BT)[:, -1]
        return
    read = 0

    def continued(sofar_BT: Tensor) -> Tensor:
        nonlocal read
        logits_BTV: Tensor = model(sofar_BT[:, read:])
        read = sofar_BT.shape[1]
        return logits_BTV[:, -1]

    with streaming(model):
        yield continued


def _continuation(tokens: list[int], end: int | None) -> Continuation:
    ended = end is not None and tokens[-1:] == [end]
    return Continuation(tokens[:-1] if ended else tokens, ended)


def check_prompt(prompt: Sequence[int], context_length: int) -> None:
    """Refuse what a model cannot go on with.

    Raises:
        AblationError: the prompt is empty, or fills the context.
    """
    if not prompt:
        raise AblationError("a prompt has no token: give a text to go on from")
    if len(prompt) >= context_length:
        raise AblationError(
            f"a prompt of {len(prompt)} tokens leaves no room in a context of {context_length}: "
            f"give at most {context_length - 1}"
        )
