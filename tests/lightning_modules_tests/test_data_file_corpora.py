import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightning_modules.data.corpora import open_corpus
from lightning_modules.data.corpus import DataError
from studies.schema import DataConfig

ROWS = ["first\r\nrow", "ends with a newline\n", "", "naïve – 日本語\u2028 text", "\tlast "]
JOINED = "first\r\nrow\nends with a newline\n\nnaïve – 日本語\u2028 text\n\tlast "


def read(path: Path, scratch: Path, **settings: str) -> str:
    corpus = open_corpus(DataConfig(corpus=str(path), **settings))
    return "".join(corpus.read(scratch / "arrow").text)


def write_jsonl(path: Path, rows: list[str | None], column: str = "text") -> None:
    path.write_text("".join(json.dumps({"n": 1, column: row}) + "\n" for row in rows))


def write_parquet(path: Path, rows: list[str | None], column: str = "text") -> None:
    pq.write_table(pa.table({"n": [1] * len(rows), column: pa.array(rows, pa.string())}), path)


def test_a_text_file_is_read_character_by_character(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    text = "one\r\ntwo\rthree\n\n\ufeff four\x0c\x85five – 日本語"
    path.write_bytes(text.encode())
    assert read(path, tmp_path) == text


@pytest.mark.parametrize(("suffix", "write"), [("jsonl", write_jsonl), ("parquet", write_parquet)])
def test_rows_of_a_table_are_documents(tmp_path: Path, suffix: str, write) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / f"rows.{suffix}"
    write(path, [*ROWS[:2], None, *ROWS[2:]])
    assert read(path, tmp_path) == JOINED

    write(path, ROWS, column="content")
    assert read(path, tmp_path, text_column="content") == JOINED


@pytest.mark.parametrize(("suffix", "write"), [("jsonl", write_jsonl), ("parquet", write_parquet)])
def test_a_folder_of_tables_is_read_in_order_of_paths(tmp_path: Path, suffix: str, write) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "data"
    (folder / "b").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    write(folder / f"c.{suffix}", ["three"])
    write(folder / "b" / f"z.{suffix}", ["two"])
    write(folder / f"a.{suffix}", ["one"])
    write(folder / ".hidden" / f"a.{suffix}", ["hidden"])
    (folder / "README.md").write_text("about")
    assert read(folder, tmp_path) == "one\ntwo\nthree"


def test_a_folder_of_text_is_read_in_order_of_paths(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, text in {"b.txt": "two\n", "a.txt": "one", "c.TXT": "three"}.items():
        (folder / name).write_text(text)
    assert read(folder, tmp_path) == "one\ntwo\nthree"


@pytest.mark.parametrize(
    ("name", "content", "key", "hint"),
    [
        ("latin.txt", "é".encode("latin1"), "data.corpus", "UTF-8"),
        ("broken.jsonl", b'{"text": "a"\n{oops', "data.corpus", "JSON parse error"),
        ("empty.jsonl", b"", "data.corpus", "is it empty"),
        ("broken.parquet", b"no", "data.corpus", "smaller than the minimum"),
        ("other.jsonl", b'{"content": "a"}\n', "data.text_column", "did you mean 'content'"),
        ("number.jsonl", b'{"text": 3}\n', "data.text_column", "holds int64"),
        ("nested.jsonl", b'{"text": {"a": 1}}\n', "data.text_column", "holds a nested value"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, key: str, hint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read(path, tmp_path)
    assert error.value.problem.key == key
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("names", "found"), [((), "found none"), (("a.txt", "b.jsonl"), "found json and text")]
)
def test_a_folder_must_hold_one_format(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match=found):
        open_corpus(DataConfig(corpus=str(tmp_path)))


def test_the_fingerprint_follows_the_file_and_the_column(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_jsonl(path, ["one"])
    data = DataConfig(corpus=str(path))
    before = open_corpus(data).fingerprint()
    assert open_corpus(data).fingerprint() == before
    other = open_corpus(data.model_copy(update={"text_column": "n"}))
    assert other.fingerprint() != before
    write_jsonl(path, ["two"])  # as long as before
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # the clock of some file systems is coarse
    assert open_corpus(data).fingerprint() != before
