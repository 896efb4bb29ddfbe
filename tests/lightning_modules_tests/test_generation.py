from collections import Counter

import pytest
import torch

from lightning_modules.generation import Continuation, draw, generate
from lightning_modules.gpt.positions import POSITIONS
from lightning_modules.gpt.streaming import Streamed, streaming
from studies.errors import AblationError
from studies.generation import Sampling
from tests.lightning_modules_tests.gpt_helpers import (
    CONTEXT,
    NORM_PLACEMENTS,
    VOCABULARY_SIZE,
    random_tokens,
    small_gpt,
)

GREEDY = Sampling(temperature=0, max_new_tokens=100)


def lived_in(**settings):
    """A model whose running statistics and gains are not those of its start."""
    model = small_gpt(bias=True, initialization="xavier", **settings).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        for seed in range(3):
            model(random_tokens(seed=seed))
    return model.eval()


def reread(model, prompt, tokens):
    """The likeliest continuation, by reading everything again for each token."""
    text = list(prompt)
    with torch.no_grad():
        for _ in range(tokens):
            text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
    return text[len(prompt) :]


def generated(model, prompts, sampling=GREEDY, **settings):
    return generate(
        model, prompts, sampling, **{"context_length": CONTEXT, "end": None, **settings}
    )


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(("norm", "placement"), NORM_PLACEMENTS)
def test_a_stream_gives_what_the_whole_text_gives(norm, placement, position):
    model = lived_in(norm=norm, placement=placement, position=position, qk_norm=True)
    tokens_BT = random_tokens(batch=3)
    with torch.no_grad():
        whole = model(tokens_BT)
        with streaming(model):
            parts = [model(part) for part in tokens_BT.split([1, 4, 1, 1, 5], dim=1)]
        torch.testing.assert_close(torch.cat(parts, 1), whole)
        assert torch.equal(model(tokens_BT), whole)  # nothing of the stream is left

    prompts = [tokens_BT[0, :5].tolist(), tokens_BT[1, :2].tolist(), tokens_BT[2, :9].tolist()]
    expected = [reread(model, prompt, CONTEXT - len(prompt)) for prompt in prompts]
    assert generated(model, prompts) == [Continuation(tokens, False) for tokens in expected]


def test_every_part_that_looks_back_is_streamed():
    model = small_gpt(norm="instance", position="learned")
    streamed = {type(part).__name__ for part in model.modules() if isinstance(part, Streamed)}
    assert streamed == {"GPT", "LearnedPositions", "Attention", "InstanceNorm"}


def test_a_stream_ends_with_its_block_whatever_happens():
    model = lived_in()

    def read_too_much():
        with streaming(model):
            model(random_tokens())
            model(random_tokens(time=1))

    with pytest.raises(AblationError, match="13 tokens do not fit"):
        read_too_much()
    assert all(part.past is None for part in model.modules() if isinstance(part, Streamed))


def test_a_module_of_ones_own_reads_all_again():
    model = lived_in()
    prompt = [1, 2, 3]
    assert generated(torch.nn.Sequential(model), [prompt]) == generated(model, [prompt])


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.3, top_k=20, top_p=0.9)])
def test_a_prompt_does_not_depend_on_those_beside_it(sampling):
    model = lived_in(norm="rms")
    first, second = generated(model, [[5, 6, 7], [1]], sampling)
    assert generated(model, [[5, 6, 7]], sampling) == [first]
    assert generated(model, [[5, 6, 7], [1], list(range(9))], sampling)[:2] == [first, second]


def test_draws_follow_the_seed_alone():
    model, sampling = lived_in(), Sampling(temperature=2.0)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = generated(model, [[1], [1]], sampling)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert generated(model, [[1], [1]], sampling) == first
    assert first[0] != first[1]
    assert generated(model, [[1], [1]], sampling.model_copy(update={"seed": 1})) != first


def test_a_text_ends_with_the_end_token_with_its_length_or_with_the_context():
    model = lived_in()
    [whole] = generated(model, [[1, 2]])
    assert len(whole.tokens) == CONTEXT - 2
    [short] = generated(model, [[1, 2]], GREEDY.model_copy(update={"max_new_tokens": 4}))
    assert short == Continuation(whole.tokens[:4], False)
    end = whole.tokens[3]
    [ended, other] = generated(model, [[1, 2], [9, 9, 9]], end=end)
    assert ended == Continuation(whole.tokens[: whole.tokens.index(end)], True)
    assert other.ended or len(other.tokens) == CONTEXT - 3


@pytest.mark.parametrize(
    ("prompt", "message"), [([], "has no token"), ([1] * CONTEXT, "12 tokens leaves no room")]
)
def test_a_prompt_that_cannot_be_is_refused(prompt, message):
    with pytest.raises(AblationError, match=message):
        generated(small_gpt(), [[1], prompt])


def test_the_model_is_left_as_it_was():
    model = small_gpt(dropout=0.5, norm="batch").train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    generated(model, [[1, 2]])
    assert model.training
    assert model.blocks[0].training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


LOGITS = torch.log(torch.tensor([0.1, 0.5, 0.25, 0.15]))


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"temperature": 0}, [0, 1, 0, 0]),
        ({"temperature": 1}, [0.1, 0.5, 0.25, 0.15]),
        ({"temperature": 0.5}, [0.01 / 0.345, 0.25 / 0.345, 0.0625 / 0.345, 0.0225 / 0.345]),
        ({"temperature": 1, "top_k": 1}, [0, 1, 0, 0]),
        ({"temperature": 1, "top_k": 2}, [0, 2 / 3, 1 / 3, 0]),
        ({"temperature": 1, "top_k": 99}, [0.1, 0.5, 0.25, 0.15]),
        ({"temperature": 1, "top_p": 0.01}, [0, 1, 0, 0]),
        ({"temperature": 1, "top_p": 0.6}, [0, 2 / 3, 1 / 3, 0]),
        ({"temperature": 1, "top_p": 1.0}, [0.1, 0.5, 0.25, 0.15]),
        ({"temperature": 1, "top_k": 3, "top_p": 0.8}, [0, 2 / 3, 1 / 3, 0]),
    ],
)
def test_shares_of_draws(settings, shares):
    generator = torch.Generator().manual_seed(0)
    sampling, draws = Sampling(**settings), 4000
    counts = Counter(draw(LOGITS.clone(), sampling, generator) for _ in range(draws))
    for token, share in enumerate(shares):
        assert counts[token] / draws == pytest.approx(share, abs=4 * (0.25 / draws) ** 0.5)
        assert share or not counts[token]


def test_the_vocabulary_bounds_what_is_drawn():
    [found] = generated(lived_in(), [[0]], Sampling(temperature=50.0))
    assert all(0 <= token < VOCABULARY_SIZE for token in found.tokens)
