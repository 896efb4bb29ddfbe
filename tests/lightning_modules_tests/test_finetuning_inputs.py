"""Inputs of each form, what is cut of them, and the batches that are made of them."""

import pytest
import torch

from lightning_modules.checkpoints import TOKENIZER
from lightning_modules.data.codec import Codec
from lightning_modules.data.token_store import build_token_store
from lightning_modules.finetuning.batches import (
    NO_TARGET,
    TaskStream,
    collate,
    evaluation_batches,
    longest_row,
    steps_of_epoch,
)
from lightning_modules.finetuning.examples import Example
from lightning_modules.finetuning.inputs import Encoded, Framing, fitted
from lightning_modules.finetuning.task_data import read_task
from studies.errors import AblationError
from studies.schema import DataConfig
from tests.lightning_modules_tests.task_files import easy_task
from tests.lightning_modules_tests.tiny_runs import write_text


@pytest.fixture(scope="module")
def codecs(tmp_path_factory):
    """Of characters, without frame tokens, and of BPE, with them."""
    folder = tmp_path_factory.mktemp("codecs")
    text = str(write_text(folder / "text.txt"))
    found = {}
    for tokenizer, size in (("characters", None), ("bpe", 270)):
        data = DataConfig(corpus=text, tokenizer=tokenizer, vocabulary_size=size)
        found[tokenizer] = Codec(build_token_store(data, folder / "cache").directory / TOKENIZER)
    return found


def texts_of(codec, rows):
    """Rows as text; tokens that the tokeniser lacks by their place behind its own."""
    size = codec.vocabulary_size
    return [
        "".join(codec.decode([i]) if i < size else f"[{i - size}]" for i in row) for row in rows
    ]


FORMS = {
    "classification": (Example(("the norm",), (), 0), ["<start>the norm<end>"]),
    "entailment": (
        Example(("the norm", "loss"), (), 1),
        ["<start>the norm<delimiter>loss<end>"],
    ),
    "similarity": (
        Example(("the norm", "loss"), (), 1),
        ["<start>the norm<delimiter>loss<end>", "<start>loss<delimiter>the norm<end>"],
    ),
    "multiple_choice": (
        Example(("the norm", "seed"), ("loss", "step"), 1),
        ["<start>the norm seed<delimiter>loss<end>", "<start>the norm seed<delimiter>step<end>"],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_inputs_are_framed_as_the_form_asks(codecs, form):
    example, expected = FORMS[form]
    framing = Framing(codecs["bpe"], form, 64)
    [encoded] = framing.encode([example])
    assert framing.added_tokens == 0
    assert texts_of(codecs["bpe"], encoded.rows) == expected
    assert encoded[1:] == (example.label, False, False)


def test_tokens_that_a_tokeniser_lacks_stand_behind_its_own(codecs):
    framing = Framing(codecs["characters"], "entailment", 64)
    [encoded] = framing.encode([Example(("the", "of"), (), 0)])
    assert framing.added_tokens == 3
    assert texts_of(codecs["characters"], encoded.rows) == ["[0]the[1]of[2]"]


def test_unknown_characters_are_left_out_and_said(codecs):
    framing = Framing(codecs["characters"], "classification", 64)
    known, unknown = framing.encode([Example(("the",), (), 0), Example(("t7he",), (), 0)])
    assert known.rows == unknown.rows
    assert (known.unknown, unknown.unknown) == (False, True)


def test_the_longest_text_is_cut_and_the_frame_stays(codecs):
    framing = Framing(codecs["characters"], "multiple_choice", 16)
    [encoded] = framing.encode([Example(("the model norm", "seed"), ("of", "the"), 0)])
    assert texts_of(codecs["characters"], encoded.rows) == [
        "[0]the mo seed[1]of[2]",
        "[0]the m seed[1]the[2]",
    ]
    assert {len(row) for row in encoded.rows} == {16}
    assert encoded.truncated


@pytest.mark.parametrize(
    ("lengths", "room", "kept"),
    [
        ([5], 9, [5]),
        ([9], 5, [5]),
        ([9, 2], 6, [4, 2]),
        ([9, 9], 7, [4, 3]),
        ([3, 9, 9], 11, [3, 4, 4]),
        ([0, 9], 3, [0, 3]),
    ],
)
def test_what_fits(lengths, room, kept):
    assert fitted(lengths, room) == kept


def test_a_context_without_room_is_refused():
    with pytest.raises(AblationError, match="context_length has no room for 2 texts"):
        fitted([4, 4], 1)


def test_what_was_left_out_is_counted(codecs, tmp_path):
    task = easy_task(tmp_path)
    data = read_task(task, codecs["characters"], 20)
    lengths = [len(row) for e in (*data.train, *data.evaluation) for row in e.rows]
    full = sum(e.truncated for e in (*data.train, *data.evaluation))
    assert 0 < full < len(lengths)
    assert data.truncated_percent == pytest.approx(100 * full / len(lengths))
    assert f"{data.truncated_percent:.1f}% cut to the context of 20 tokens" in data.describe()
    assert max(lengths) == 20


def encoded(*lengths, label=0.0):
    return [Encoded((tuple(range(1, n + 1)),), label, False, False) for n in lengths]


def test_a_batch_predicts_each_next_token_and_reads_the_last():
    batch = collate(encoded(3, 5), of_numbers=False)
    assert batch.tokens_NT.tolist() == [[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]]
    assert batch.targets_NT.tolist() == [[2, 3, *[NO_TARGET] * 3], [2, 3, 4, 5, NO_TARGET]]
    assert batch.last_N.tolist() == [2, 4]
    assert batch.labels_E.dtype is torch.int64
    assert collate(encoded(2), of_numbers=True).labels_E.dtype is torch.float32


class At:
    """A trainer that stands at a step."""

    def __init__(self, global_step):
        self.global_step = global_step


def stream(examples, step=0, seed=0, steps=12):
    return TaskStream(examples, At(step), batch_size=4, steps=steps, seed=seed, of_numbers=False)  # type: ignore[arg-type]


def test_each_epoch_has_every_example_once_in_an_order_of_its_own():
    examples = [Encoded(((*range(1, 2 + n % 7), 100 + n),), 0.0, False, False) for n in range(22)]
    assert steps_of_epoch(22, 4) == 6
    seen = [[max(row) for row in b.tokens_NT.tolist()] for b in stream(examples)]
    first, second = ([n for batch in part for n in batch] for part in (seen[:6], seen[6:]))
    assert sorted(first) == sorted(second) == list(range(100, 122))
    assert first != second
    assert first != [
        max(row) for b in stream(examples, seed=1, steps=6) for row in b.tokens_NT.tolist()
    ]
    resumed = [[max(row) for row in b.tokens_NT.tolist()] for b in stream(examples, step=8)]
    assert resumed == seen[8:]


def test_examples_of_like_length_are_together():
    examples = encoded(*[1 + n % 9 for n in range(64)])
    padding = sum(int((b.tokens_NT == 0).sum()) for b in stream(examples, steps=16))
    shuffled = sum(9 - 1 - n % 9 for n in range(64))
    assert padding < shuffled / 8
    found = evaluation_batches(examples, 8, of_numbers=False)
    assert sum(len(b.labels_E) for b in found) == 64
    assert [longest_row(e) for e in examples[:3]] == [1, 2, 3]
