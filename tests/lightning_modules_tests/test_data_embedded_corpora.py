import itertools
import re
from pathlib import Path

import pytest

from lightning_modules.data.corpus import DataError
from lightning_modules.data.embedded_corpora import (
    REPEATED_PARAGRAPH_CHARACTERS,
    PythonDocs,
    PythonStdlib,
)


def paragraphs(text: str) -> list[str]:
    words = (" ".join(p.split()) for p in re.split(r"\n[ \t]*\n", text))
    return [p for p in words if len(p) >= REPEATED_PARAGRAPH_CHARACTERS]


def test_the_docs_are_prose_the_same_each_time(tmp_path: Path) -> None:
    first, second = ("".join(PythonDocs().read(tmp_path).text) for _ in range(2))
    assert first == second
    assert len(first) > 250_000
    assert "A compound statement" in first or "Compound statements" in first


def test_the_docs_say_nothing_twice_and_leave_hardly_anything_out(tmp_path: Path) -> None:
    from pydoc_data.topics import topics

    kept = paragraphs("".join(PythonDocs().read(tmp_path).text))
    assert len(kept) == len(set(kept))
    everything = [p for topic in topics.values() for p in paragraphs(topic)]
    assert sum(map(len, kept)) > 0.98 * sum(map(len, set(everything)))
    # The filter has work to do: topics repeat each other.
    assert len(everything) > 1.1 * len(set(everything))


def test_the_stdlib_is_source_code_without_tests_or_packages(tmp_path: Path) -> None:
    head = "".join(itertools.islice(PythonStdlib().read(tmp_path).text, 40))
    again = "".join(itertools.islice(PythonStdlib().read(tmp_path).text, 40))
    assert head == again
    assert "def " in head
    assert "import " in head

    modules = set(PythonStdlib()._modules())
    assert {"argparse.py", "json/decoder.py"} <= modules
    assert not {m for m in modules if {"site-packages", "test"} & set(Path(m).parts)}
    assert not {m for m in modules if "_sysconfigdata" in m}


def test_the_stdlib_passes_over_what_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_bytes(b"x = 1\r\n")
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\nx = '\xe9'\n")
    (tmp_path / "notes.txt").write_text("no code")
    assert "".join(PythonStdlib(tmp_path).read(tmp_path).text).strip("\n") == "x = 1\r"


def test_an_interpreter_without_sources_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this interpreter comes without"):
        PythonStdlib(tmp_path).read(tmp_path)
