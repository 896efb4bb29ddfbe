import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tokenizers as hf

from lightning_modules.data import token_store
from lightning_modules.data.corpus import CorpusText, DataError
from lightning_modules.data.embedded_corpora import PythonDocs
from lightning_modules.data.file_corpora import FileCorpus
from lightning_modules.data.text_splits import Splits
from lightning_modules.data.token_store import TokenStore, build_token_store
from studies.schema import DataConfig
from tests.waiting import wait_until

SHAKESPEARE = Path(__file__).parents[3] / "shared/data/tinyshakespeare/input.txt"

BUILD = """
import logging, sys
from pathlib import Path
from studies.schema import DataConfig
from lightning_modules.data.token_store import build_token_store
logging.basicConfig(level=logging.INFO, format="%(message)s")
Path(sys.argv[3]).touch()
while not Path(sys.argv[4]).exists(): pass
print(build_token_store(DataConfig(corpus=sys.argv[1], tokenizer="bpe"), Path(sys.argv[2])).digest)
"""


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return "".join(PythonDocs().read(tmp_path_factory.mktemp("docs")).text)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Store folders that were written, not found."""
    written: list[Path] = []
    write = token_store._write_store

    def count(data: DataConfig, splits: Splits, directory: Path) -> Path:
        written.append(directory)
        return write(data, splits, directory)

    monkeypatch.setattr(token_store, "_write_store", count)
    return written


def text_of(store: TokenStore) -> str:
    tokenizer = hf.Tokenizer.from_file(str(store.directory / "tokenizer.json"))
    splits = (store.train, store.validation)
    return "".join(tokenizer.decode(split.tolist()) for split in splits)


@pytest.mark.parametrize("tokenizer", ["bytes", "characters", "bpe"])
def test_the_splits_are_the_text_cut_in_two(cache: Path, docs: str, tokenizer: str) -> None:
    store = build_token_store(DataConfig(corpus="python-docs", tokenizer=tokenizer), cache)
    assert text_of(store) == docs
    assert isinstance(store.train, np.memmap)
    assert store.train.dtype == np.uint16
    assert max(store.train.max(), store.validation.max()) < store.vocabulary_size


def test_no_paragraph_of_the_docs_is_both_trained_on_and_held_out(cache: Path) -> None:
    store = build_token_store(DataConfig(), cache)
    train, held_out = (
        {p for p in bytes(split.astype("u1")).decode().split("\n\n") if len(p) > 50}
        for split in (store.train, store.validation)
    )
    assert len(held_out) > 50
    assert not train & held_out


@pytest.mark.skipif(not SHAKESPEARE.exists(), reason="Tiny Shakespeare is not on this machine")
def test_tiny_shakespeare_is_what_nanogpt_trains_on(cache: Path) -> None:
    store = build_token_store(DataConfig(corpus=str(SHAKESPEARE), tokenizer="characters"), cache)
    facts = store.describe()
    assert facts["vocabulary_size"] == 65
    assert facts["train_tokens"] == 1_003_854
    assert facts["validation_tokens"] == 111_540
    assert text_of(store) == SHAKESPEARE.read_bytes().decode()


def test_the_entropy_is_that_of_the_training_tokens(cache: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("aab" * 300)
    store = build_token_store(DataConfig(corpus=str(text), tokenizer="characters"), cache)
    _, counts = np.unique(np.asarray(store.train), return_counts=True)
    shares = counts / counts.sum()
    assert store.train_entropy == pytest.approx(-(shares * np.log(shares)).sum())


def test_the_description_tells_data_apart(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("abcdefghij" * 10)
    facts = build_token_store(DataConfig(corpus=str(path)), cache).describe()
    train = hashlib.sha256(np.frombuffer(b"abcdefghij" * 9, "u1").astype("<u2").tobytes())
    assert facts["train_digest"] == train.hexdigest()[:16]
    assert json.loads(json.dumps(facts)) == facts
    other = build_token_store(DataConfig(corpus=str(path), validation_fraction=0.2), cache)
    assert other.describe()["data_digest"] != facts["data_digest"]


def test_a_second_call_reads_no_text(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("some text " * 100)
    data = DataConfig(corpus=str(path))
    first = build_token_store(data, cache)

    def read(self: FileCorpus, scratch: Path) -> CorpusText:
        raise AssertionError("the text was read again")

    monkeypatch.setattr(FileCorpus, "read", read)
    second = build_token_store(data, cache)
    assert second.describe() == first.describe()
    assert np.array_equal(second.train, first.train)


def test_a_changed_file_is_noticed_though_its_size_stays(
    cache: Path, tmp_path: Path, builds: list[Path]
) -> None:
    path = tmp_path / "a.txt"
    data = DataConfig(corpus=str(path))
    path.write_text("old text " * 100)
    old = build_token_store(data, cache)
    path.write_text("new text " * 100)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # the clock of some file systems is coarse
    new = build_token_store(data, cache)
    assert new.digest != old.digest
    assert text_of(new) == "new text " * 100
    assert text_of(old) == "old text " * 100
    assert len(builds) == 2


def test_a_touched_or_copied_file_shares_the_store(
    cache: Path, tmp_path: Path, builds: list[Path]
) -> None:
    path, copy = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_text("same text " * 100)
    first = build_token_store(DataConfig(corpus=str(path)), cache)
    os.utime(path, (1, 1))
    copy.write_text("same text " * 100)
    for source in (path, copy):
        again = build_token_store(DataConfig(corpus=str(source)), cache)
        assert again.directory == first.directory
    assert len(builds) == 1


@pytest.mark.parametrize("name", ["train.bin", "store.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_damaged_store_is_built_again(
    cache: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("some text " * 100)
    store = build_token_store(DataConfig(corpus=str(path)), cache)
    damaged = store.directory / name
    if content is None:
        damaged.unlink()
    else:
        damaged.write_bytes(content)
    assert text_of(build_token_store(DataConfig(corpus=str(path)), cache)) == "some text " * 100


def test_a_file_that_changes_while_it_is_read_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("some text " * 100)
    data = DataConfig(corpus=str(path))
    read = FileCorpus.read

    def grow(text: str) -> Iterator[str]:
        yield text
        path.write_text("some text " * 101)

    monkeypatch.setattr(
        FileCorpus, "read", lambda self, s: CorpusText(grow("".join(read(self, s).text)))
    )
    with pytest.raises(DataError, match="changed while they were read"):
        build_token_store(data, cache)
    monkeypatch.setattr(FileCorpus, "read", read)
    assert text_of(build_token_store(data, cache)) == "some text " * 101


def test_a_tokenizer_that_knows_nothing_of_the_text_is_refused(cache: Path, tmp_path: Path) -> None:
    hf.Tokenizer(hf.models.BPE({"🦜": 0}, [])).save(str(tmp_path / "parrot.json"))
    with pytest.raises(DataError, match="gave no token for the train split"):
        build_token_store(DataConfig(tokenizer=str(tmp_path / "parrot.json")), cache)
    assert not list((cache / "building").iterdir())


def test_a_hit_imports_neither_datasets_nor_tokenizers_nor_torch(
    cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "some text to train on"}\n' * 100)
    build_token_store(DataConfig(corpus=str(path), tokenizer="bpe"), cache)
    program = (
        "import sys; from pathlib import Path; from studies.schema import DataConfig\n"
        "from lightning_modules.data.token_store import build_token_store\n"
        "data = DataConfig(corpus=sys.argv[1], tokenizer='bpe')\n"
        "assert len(build_token_store(data, Path(sys.argv[2])).train)\n"
        "print(*sorted({'datasets', 'tokenizers', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(path), str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def start_build(
    corpus: Path, cache: Path, ready: Path, go: Path, first: str = ""
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", first + BUILD, str(corpus), str(cache), str(ready), str(go)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_build_at_once_build_once(cache: Path, tmp_path: Path, docs: str) -> None:
    corpus, go = tmp_path / "docs.txt", tmp_path / "go"
    corpus.write_text(docs)
    ready = [tmp_path / f"ready_{i}" for i in range(2)]
    processes = [start_build(corpus, cache, path, go) for path in ready]
    wait_until(lambda: all(path.exists() for path in ready), "the builders did not start")
    go.touch()
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert len({digest for digest, _ in outputs}) == 1
    assert sum(log.count("building the tokens") for _, log in outputs) == 1
    assert len(list((cache / "stores").iterdir())) == 1


@pytest.mark.parametrize("moment", ["_write_store", "_write_tokens", "_publish", "_write_index"])
def test_a_killed_builder_leaves_a_usable_cache(
    cache: Path, tmp_path: Path, docs: str, moment: str
) -> None:
    corpus, go = tmp_path / "docs.txt", tmp_path / "go"
    corpus.write_text(docs)
    go.touch()
    kill = (
        "import os; from lightning_modules.data import token_store\n"
        f"token_store.{moment} = lambda *_: os.kill(os.getpid(), 9)\n"
    )
    process = start_build(corpus, cache, tmp_path / "ready", go, first=kill)
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert list(cache.glob("building/*/train.txt")) or moment == "_write_index"
    assert not list(cache.glob("index/*"))

    store = build_token_store(DataConfig(corpus=str(corpus), tokenizer="bpe"), cache)
    assert text_of(store) == docs
    assert not list(cache.glob("building/*"))
