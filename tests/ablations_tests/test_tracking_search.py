"""Tracking stores that are searched: whole, unchanged, refusing filters, or no stores at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

import ablations.tracking_search
from ablations.cli import main


def test_every_page_of_the_answer_is_read(store, query, monkeypatch):
    monkeypatch.setattr(ablations.tracking_search, "PAGE_SIZE", 50)
    assert query().lines[-1] == "148 runs match"


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ("params.norm = 'layer' or params.norm = 'rms'", "'or'"),
        ("(params.norm = 'layer')", "Invalid clause"),
        ("norm = layer", "Invalid attribute key 'norm' specified\n"),
        ("config.norm = 'layer'", "Invalid entity type 'config'\n"),
        ("metrics.val/loss < '2'", "Expected numeric value type for metric. Found '2'\n"),
    ],
)
def test_a_filter_that_mlflow_refuses_is_explained(query, filter, words):
    answer = query(filter)
    assert (answer.status, answer.out) == (2, "")
    first, typed, *rest = answer.err.splitlines(keepends=True)
    assert first.startswith("ablate: MLflow refuses the filter: ")
    assert words in first
    assert typed == f"  {filter}\n"
    assert "joined by `and`. There is no `or`" in rest[0]
    example = rest[-1].removeprefix("example: ablate query '").rstrip("\n'")
    assert query(example).status == 0


def test_querying_changes_nothing_in_the_store(store, query):
    def dump() -> list[str]:
        with closing(sqlite3.connect(store.home / "mlflow.db")) as connection:
            return list(connection.iterdump())

    before = dump()
    for arguments in (["--csv"], ["params.norm = x"], ["--study", "none"], ["a or b"]):
        query(*arguments)
    assert dump() == before


def test_a_home_without_a_store_is_told_and_left_alone(tmp_path, capsys):
    home = tmp_path / "home"
    assert main(["query", "--home", str(home)]) == 2
    assert f"nothing was run under {home} yet" in capsys.readouterr().err
    assert not home.exists()


def test_a_sqlite_file_that_is_no_store_stays_as_it_is(tmp_path, capsys):
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE trials (number INTEGER)")
    before = path.read_bytes()
    assert main(["query", "--tracking-uri", f"sqlite:///{path}"]) == 2
    assert "cannot be read: no such table: experiments" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_server_that_is_away_is_told_in_a_line(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = "http://127.0.0.1:9"
    assert main(["query", "--tracking-uri", uri]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == (
        f"ablate: the tracking store {uri} cannot be read: [Errno 111] Connection refused"
    )
