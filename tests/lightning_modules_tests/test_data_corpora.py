from pathlib import Path

import pytest

from lightning_modules.data.corpora import CORPORA, open_corpus
from lightning_modules.data.corpus import DataError, join_documents
from lightning_modules.data.file_corpora import FileCorpus
from lightning_modules.data.hub_corpora import HubCorpus
from studies.schema import DataConfig


@pytest.mark.parametrize(
    ("documents", "joined"),
    [
        ([], ""),
        ([["a"]], "a"),
        ([["a\r\n"]], "a\r\n"),
        ([["a"], ["b\n"], ["c"]], "a\nb\nc"),
        ([["a", "b"], ["", "c"], ["d\n", ""], ["e"]], "ab\nc\nd\ne"),
        # Rows of wikitext: a blank line is an empty row.
        ([[""], [" = Title = \n"], [""], ["Words. \n"]], "\n = Title = \n\nWords. \n"),
    ],
)
def test_documents_are_joined_by_one_newline_where_there_is_none(
    documents: list[list[str]], joined: str
) -> None:
    assert "".join(join_documents(documents)) == joined


@pytest.mark.parametrize("name", CORPORA)
def test_each_named_corpus_opens_and_fingerprints_alike_twice(name: str) -> None:
    first, second = (open_corpus(DataConfig(corpus=name)) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()


def test_a_name_a_path_and_a_hub_name_lead_to_their_corpora(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    assert isinstance(open_corpus(DataConfig(corpus="python-docs")), CORPORA["python-docs"])  # type: ignore[arg-type]
    assert isinstance(open_corpus(DataConfig(corpus=str(path))), FileCorpus)
    assert isinstance(open_corpus(DataConfig(corpus="hub:a/b", revision="main")), HubCorpus)


def test_an_unknown_corpus_is_answered_with_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.corpus = 'pyton-docs'") as name:
        open_corpus(DataConfig(corpus="pyton-docs"))
    assert "hub:NAMESPACE/NAME" in str(name.value)
    assert "did you mean 'python-docs'" in str(name.value)

    (tmp_path / "shakespeare.txt").write_text("text")
    with pytest.raises(DataError, match="did you mean") as path:
        open_corpus(DataConfig(corpus=str(tmp_path / "shakespear.txt")))
    assert str(tmp_path / "shakespeare.txt") in path.value.problem.remedy


def test_an_empty_name_is_not_the_working_directory() -> None:
    with pytest.raises(DataError, match=r"data\.corpus = ''"):
        open_corpus(DataConfig(corpus=""))
