import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
import tokenizers as hf

from lightning_modules.data.corpus import CorpusText, DataError
from lightning_modules.data.embedded_corpora import PythonDocs
from lightning_modules.data.subwords import SPECIAL_TOKENS, SubwordTokenizer, cut_before_spaces
from lightning_modules.data.text_splits import Splits, write_splits
from lightning_modules.data.tokenizers import TOKENIZERS, make_tokenizer, tokenizer_identity
from studies.schema import DataConfig

ODD = "\r\n\t  naïve – 日本語 🦜\u200d \x00\x1c! x  \n\n\n  end\u2028\u3000 l'été don't 3.14 "


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    folder = tmp_path_factory.mktemp("text")
    docs = "".join(PythonDocs().read(folder).text)
    return write_splits(CorpusText([docs[:60_000], ODD]), DataConfig(), folder)


def encode(tokenizer, *pieces: str) -> list[int]:  # type: ignore[no-untyped-def]
    return [int(i) for ids in tokenizer.encode(pieces) for i in ids]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_each_tokenizer_round_trips_through_its_saved_file(
    tmp_path: Path, splits: Splits, name: str
) -> None:
    tokenizer = make_tokenizer(DataConfig(tokenizer=name), splits)
    tokenizer.save(tmp_path / "tokenizer.json")
    saved = hf.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for split in splits:
        text = "".join(split.pieces())[-20_000:]
        ids = encode(tokenizer, text)
        assert max(ids) < tokenizer.vocabulary_size
        assert saved.decode(ids, skip_special_tokens=False) == text
        assert saved.encode(text[-500:]).ids == encode(tokenizer, text[-500:])
    reloaded = make_tokenizer(DataConfig(tokenizer=str(tmp_path / "tokenizer.json")), splits)
    assert reloaded.vocabulary_size == tokenizer.vocabulary_size


@pytest.mark.parametrize("name", TOKENIZERS)
def test_ids_do_not_depend_on_how_the_text_is_given(splits: Splits, name: str) -> None:
    tokenizer = make_tokenizer(DataConfig(tokenizer=name), splits)
    text = "".join(splits.validation.pieces())
    whole = encode(tokenizer, text)
    assert encode(tokenizer, *text) == whole
    assert encode(tokenizer, text[:1001], text[1001:]) == whole


def reserved(tokenizer: SubwordTokenizer) -> list[int]:
    return [tokenizer._backend.token_to_id(token) for token in SPECIAL_TOKENS]


def test_bpe_reserves_the_last_tokens_and_no_text_encodes_to_them(
    tmp_path: Path, splits: Splits
) -> None:
    tokenizer = make_tokenizer(DataConfig(tokenizer="bpe", vocabulary_size=600), splits)
    assert isinstance(tokenizer, SubwordTokenizer)
    assert reserved(tokenizer) == [597, 598, 599]
    tokenizer.save(tmp_path / "t.json")
    saved = make_tokenizer(DataConfig(tokenizer=str(tmp_path / "t.json")), splits)
    assert isinstance(saved, SubwordTokenizer)
    text = "write <end> or <start>, or <delimiter>"
    for either in (tokenizer, saved):
        ids = encode(either, text)
        assert max(ids) < 597
        assert either._backend.decode(ids) == text
        assert either.vocabulary_size == 600


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_document_ends_with_a_token_where_there_is_one(splits: Splits, name: str) -> None:
    text = ["the first", " of two\n", "", "the second", ""]
    plain = encode(make_tokenizer(DataConfig(tokenizer=name, end_documents=False), splits), *text)
    tokenizer = make_tokenizer(DataConfig(tokenizer=name), splits)
    if not isinstance(tokenizer, SubwordTokenizer):
        assert encode(tokenizer, *text) == plain
        return
    end = reserved(tokenizer)[-1]
    first, second = (encode(tokenizer, *part) for part in (text[:2], text[3:4]))
    assert encode(tokenizer, *text) == [*first, end, *second, end]
    assert end not in plain


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_stand_for_the_bytes_of_the_text(splits: Splits, name: str) -> None:
    tokenizer = make_tokenizer(DataConfig(tokenizer=name), splits)
    lengths = tokenizer.token_bytes()
    assert lengths is not None
    assert len(lengths) == tokenizer.vocabulary_size
    for split in splits:
        text = "".join(split.pieces())
        assert lengths[encode(tokenizer, text)].sum() == len(text.encode())
    if isinstance(tokenizer, SubwordTokenizer):
        assert not lengths[reserved(tokenizer)].any()


def test_bytes_of_a_token_that_is_a_word_are_not_known(tmp_path: Path, splits: Splits) -> None:
    hf.Tokenizer(hf.models.WordLevel({"[UNK]": 0, "a": 1}, "[UNK]")).save(str(tmp_path / "t.json"))
    tokenizer = make_tokenizer(DataConfig(tokenizer=str(tmp_path / "t.json")), splits)
    assert tokenizer.token_bytes() is None


def test_bytes_are_bytes(splits: Splits) -> None:
    tokenizer = make_tokenizer(DataConfig(tokenizer="bytes"), splits)
    assert tokenizer.vocabulary_size == 256
    assert encode(tokenizer, ODD) == list(ODD.encode())


def test_characters_are_those_of_the_whole_text_in_order(tmp_path: Path) -> None:
    splits = write_splits(CorpusText(["bbbbbbbba🦜"], ["éz"]), DataConfig(), tmp_path)
    tokenizer = make_tokenizer(DataConfig(tokenizer="characters"), splits)
    assert tokenizer.vocabulary_size == 5
    assert encode(tokenizer, "abzé🦜") == [0, 1, 2, 3, 4]


def test_bpe_learns_from_the_training_text_alone(tmp_path: Path) -> None:
    text = CorpusText(["the cat sat on the mat " * 50], ["zyzzyva " * 50])
    splits = write_splits(text, DataConfig(), tmp_path)
    tokenizer = make_tokenizer(DataConfig(tokenizer="bpe", vocabulary_size=262), splits)
    assert tokenizer.vocabulary_size == 262
    assert len(encode(tokenizer, " the the the")) < 12
    assert len(encode(tokenizer, "zyzzyva")) == 7


def test_bpe_trains_the_same_twice(splits: Splits, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_tokenizer(DataConfig(tokenizer="bpe", vocabulary_size=600), splits).save(
            tmp_path / name
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_bpe_size_that_the_text_cannot_give_is_an_error(tmp_path: Path) -> None:
    splits = write_splits(CorpusText(["aaaa " * 20]), DataConfig(), tmp_path)
    with pytest.raises(DataError, match="at most 26") as error:
        make_tokenizer(DataConfig(tokenizer="bpe", vocabulary_size=5000), splits)
    assert error.value.problem.key == "data.vocabulary_size"
    assert make_tokenizer(DataConfig(tokenizer="bpe"), splits).vocabulary_size < 270


def test_cuts_do_not_change_what_byte_level_bpe_makes_of_a_text(splits: Splits) -> None:
    tokenizer = make_tokenizer(DataConfig(tokenizer="bpe", vocabulary_size=600), splits)
    assert isinstance(tokenizer, SubwordTokenizer)
    generator = random.Random(0)
    alphabet = ["a", "b", "'s", " ", "\n", "\t", "\r\n", "1", "é", "\x1c", "\u3000", "!", "\xa0"]
    for _ in range(200):
        text = "".join(generator.choices(alphabet, k=60))
        size = generator.randint(1, 20)
        pieces = list(cut_before_spaces(iter([text[:25], text[25:]]), size))
        assert "".join(pieces) == text
        whole = tokenizer._backend.encode(text).ids
        assert [i for piece in pieces for i in tokenizer._backend.encode(piece).ids] == whole


def test_a_long_text_is_cut_and_one_without_spaces_is_not() -> None:
    pieces = list(cut_before_spaces(["word " * 1000], 64))
    assert max(map(len, pieces)) <= 64
    assert len(pieces) < 120
    assert list(cut_before_spaces(["x" * 50, "y" * 50], 8)) == ["x" * 50 + "y" * 50]
    assert list(cut_before_spaces([], 8)) == []


def test_a_saved_tokenizer_adds_nothing_and_cuts_nothing_off(
    tmp_path: Path, splits: Splits
) -> None:
    backend = hf.Tokenizer(hf.models.WordLevel({"[UNK]": 0, "a": 1, "[CLS]": 7}, "[UNK]"))
    backend.pre_tokenizer = hf.pre_tokenizers.Whitespace()
    backend.post_processor = hf.processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 7)]
    )
    backend.enable_truncation(2)
    backend.enable_padding(length=9)
    backend.save(str(tmp_path / "t.json"))
    tokenizer = make_tokenizer(DataConfig(tokenizer=str(tmp_path / "t.json")), splits)
    assert tokenizer.vocabulary_size == 8
    assert encode(tokenizer, "a b a a") == [1, 0, 1, 1]


def test_an_unknown_tokenizer_and_a_broken_file_are_refused(tmp_path: Path, splits: Splits) -> None:
    with pytest.raises(DataError, match="did you mean 'bytes'"):
        tokenizer_identity(DataConfig(tokenizer="byte"))
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(DataError, match=r"a tokenizer\.json of the tokenizers library"):
        make_tokenizer(DataConfig(tokenizer=str(broken)), splits)


def test_the_identity_of_a_saved_tokenizer_is_its_content(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("{}")
    identity = tokenizer_identity(DataConfig(tokenizer=str(path)))
    digest = hashlib.sha256(b"{}").hexdigest()
    assert identity == {"file_sha256": digest, "ends_documents": True}
    identities = [tokenizer_identity(DataConfig(tokenizer=name)) for name in TOKENIZERS]
    assert len({str(i) for i in identities}) == len(TOKENIZERS)


def test_ids_of_a_large_vocabulary_keep_their_value(tmp_path: Path) -> None:
    characters = "".join(chr(i) for i in range(0x10000, 0x10000 + 70_000))
    splits = write_splits(CorpusText([characters]), DataConfig(), tmp_path)
    tokenizer = make_tokenizer(DataConfig(tokenizer="characters"), splits)
    assert np.array_equal(np.concatenate(list(tokenizer.encode([characters]))), np.arange(70_000))
