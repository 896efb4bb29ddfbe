"""A store that refuses, as a server that answers every request alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ablations.cli import main
from ablations.tracking_errors import explaining, reason
from reports.build import ReportFiles
from tests.ablations_tests.synthetic_runs import plan_study, write_run
from tests.ablations_tests.tiny_studies import queue, work

HOST = "Invalid Host header - possible DNS rebinding attack detected"


@pytest.fixture
def answering() -> Iterator[Callable[[int, str], str]]:
    """The address of a server that answers so."""
    servers = []

    def start(status: int, words: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(words)))
                self.end_headers()
                self.wfile.write(words.encode())

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    plan, directory = plan_study(tmp_path, seeds=(0,))
    for run in plan.runs:
        write_run(plan, directory, run)
    return tmp_path


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # without ~/.mlflow/credentials
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)


def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-secret-of-ada")


COMMANDS = [["sync", "shown"], ["ui", "shown"], ["report", "shown", "--from-tracking"], ["query"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("status", "words", "told", "advice"),
    [
        (401, "You are not authenticated.", "no user 'ada' with this password", "Set MLFLOW_"),
        (403, "Permission denied", "ada may not read this study", "Who made the study's"),
        (403, HOST, "it does not serve under this host name", "Start the server with --allowed"),
    ],
    ids=["password", "right", "host"],
)
def test_a_refusal_is_told_with_what_to_do(
    command, status, words, told, advice, answering, home, monkeypatch, capsys
):
    ada(monkeypatch)
    uri = answering(status, words)
    assert main([*command, "--home", str(home), "--tracking-uri", uri]) == 2
    out, err = capsys.readouterr()
    fact, todo = err.splitlines()
    assert (out, fact) == ("", f"ablate: the tracking store {uri} refuses: {told}")
    assert todo.startswith(advice)
    assert "a-secret" not in err


@pytest.mark.parametrize("given", [(), ("MLFLOW_TRACKING_USERNAME",)])
def test_a_server_that_was_told_no_password_wants_one(given, answering, home, monkeypatch, capsys):
    for name in given:
        monkeypatch.setenv(name, "ada")
    uri = answering(401, "You are not authenticated.")
    assert main(["query", "--tracking-uri", uri]) == 2
    assert "refuses: it wants a user and a password\n" in capsys.readouterr().err


def test_credentials_of_the_home_folder_count(answering, tmp_path, capsys):
    (tmp_path / ".mlflow").mkdir()
    lines = "[mlflow]\nmlflow_tracking_username = grace\nmlflow_tracking_password = a-secret\n"
    (tmp_path / ".mlflow" / "credentials").write_text(lines)
    assert main(["query", "--tracking-uri", answering(401, "no")]) == 2
    assert "refuses: no user 'grace' with this password\n" in capsys.readouterr().err


def test_a_report_is_written_all_the_same_and_says_why_it_has_no_links(
    answering, home, monkeypatch, capsys
):
    ada(monkeypatch)
    paths = (home / file for file in ("report.html", "report.tex", "manifest.json"))
    files = ReportFiles(*paths, (), ())
    monkeypatch.setattr("reports.build.build_report", lambda *_: files)
    uri = answering(401, "You are not authenticated.")
    assert main(["report", "shown", "--home", str(home), "--tracking-uri", uri]) == 0
    out = capsys.readouterr().out
    assert "links:     none to MLflow: no user 'ada' with this password\n" in out
    assert "logged:    not to MLflow: no user 'ada' with this password\n" in out


def test_a_worker_says_in_a_line_why_nothing_is_sent(answering, tmp_path, monkeypatch, caplog):
    ada(monkeypatch)
    _, directory, _ = queue(tmp_path, factors={}, seeds=1)
    work(directory, answering(401, "You are not authenticated."))
    said = [r.getMessage() for r in caplog.records if r.name == "ablations.publishing"]
    assert said == [
        "nothing reaches the tracking store (no user 'ada' with this password); it is sent later",
    ]


def test_an_error_of_ours_is_not_laid_on_the_store():
    with pytest.raises(KeyError), explaining("http://127.0.0.1:5000"):
        raise KeyError("cell_key")


def test_an_error_without_words_is_named():
    assert reason(TimeoutError()) == "TimeoutError"
