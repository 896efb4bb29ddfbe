from pathlib import Path

import pytest

from lightning_modules.data import text_splits
from lightning_modules.data.corpus import CorpusText, DataError
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
