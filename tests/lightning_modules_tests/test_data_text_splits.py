from pathlib import Path

import pytest

from lightning_modules.data import text_splits
from lightning_modules.data.corpus import CorpusText, DataError, join_documents
from lightning_modules.data.text_splits import TextFile, write_splits
from studies.schema import DataConfig

TEXT = "αβ\r\n" + "".join(chr(0x4E00 + i) for i in range(93)) + "xyz"


def text_of(file: TextFile) -> str:
    return "".join(file.pieces())


@pytest.mark.parametrize("piece_characters", [7, 1 << 20])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.99])
def test_the_cut_counts_characters_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fraction: float, piece_characters: int
) -> None:
    monkeypatch.setattr(text_splits, "PIECE_CHARACTERS", piece_characters)
    data = DataConfig(validation_fraction=fraction)
    splits = write_splits(CorpusText(iter(TEXT)), data, tmp_path)
    train, validation = map(text_of, splits)
    assert train + validation == TEXT
    assert len(train) == int(len(TEXT) * (1 - fraction))


def test_a_validation_split_of_its_own_is_kept(tmp_path: Path) -> None:
    splits = write_splits(CorpusText(["ab", "c"], ["d"]), DataConfig(), tmp_path)
    assert [text_of(split) for split in splits] == ["abc", "d"]


@pytest.mark.parametrize("piece_characters", [2, 1 << 20])
def test_documents_end_where_they_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_characters: int
) -> None:
    monkeypatch.setattr(text_splits, "PIECE_CHARACTERS", piece_characters)
    documents = CorpusText(join_documents([["αβγ"], [], ["δ\n"], ["e", "fghij"], ["kl"]]))
    splits = write_splits(documents, DataConfig(validation_fraction=0.5), tmp_path)
    marked = ["".join(piece or "|" for piece in split.pieces()) for split in splits]
    assert marked == ["αβγ\n|\n|δ\n|e", "fghij\n|kl|"]


def test_the_digest_tells_documents_apart(tmp_path: Path) -> None:
    one, two = (
        write_splits(CorpusText(pieces, ["v"]), DataConfig(), tmp_path).train.digest()
        for pieces in (["ab", ""], ["a", "", "b", ""])
    )
    assert one != two


@pytest.mark.parametrize(
    ("text", "split"),
    [
        (CorpusText([]), "train"),
        (CorpusText(["a"]), "train"),
        (CorpusText(["a"], []), "validation"),
    ],
)
def test_an_empty_split_is_an_error(tmp_path: Path, text: CorpusText, split: str) -> None:
    with pytest.raises(DataError, match=f"{split} split is empty"):
        write_splits(text, DataConfig(), tmp_path)
