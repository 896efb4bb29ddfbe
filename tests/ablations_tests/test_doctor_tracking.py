from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow import __version__

from ablations.doctor import mounts, tracking
from ablations.doctor.findings import Mark
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri
from tests.ablations_tests.situations import marks, on_slurm, only, situation
from tests.cluster.ports import free_ports

READ, WRITE, USER = "experiments/search", "experiments/create", "users/current"
OPEN = {
    "/version": (200, __version__),
    READ: (200, '{"experiments": []}'),
    WRITE: (400, '{"error_code": "INVALID_PARAMETER_VALUE"}'),
    USER: (404, "Not Found"),
}
"""What MLflow 3.17 answers without passwords."""
NOBODY = (401, "You are not authenticated.")


@contextmanager
def server(**changes):
    """Answers by the end of the path as a server of MLflow was seen to."""
    answers = OPEN | {path: changes[name] for name, path in NAMES.items() if name in changes}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, text = next(a for path, a in answers.items() if self.path.endswith(path))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_):
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


NAMES = {"version": "/version", "read": READ, "write": WRITE, "user": USER}


def said(tmp_path, **changes):
    with server(**changes) as uri:
        return list(tracking.store(situation(tmp_path, tracking_uri=uri)))


def test_a_server_that_takes_us_is_told_with_its_version(tmp_path):
    user = (200, json.dumps({"user": {"username": "ada"}}))
    found = said(tmp_path, user=user)
    assert marks(found) == ["ok", "ok", "ok"]
    assert "as ada" in found[0].found
    assert found[1].found == f"{__version__} there, {__version__} here"
    assert marks(said(tmp_path)) == ["ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("changes", "mark", "words"),
    [
        ({"read": NOBODY, "version": NOBODY}, Mark.PROBLEM, "refuses us (401)"),
        ({"read": (403, "Invalid Host header - possible")}, Mark.PROBLEM, "Invalid Host header"),
        ({"read": (404, "")}, Mark.PROBLEM, "answers 404"),
        ({"write": (403, "Permission denied")}, Mark.PROBLEM, "is refused (403)"),
        ({"write": (500, "")}, Mark.WARNING, "answers 500"),
        ({"version": (200, "2.9.1")}, Mark.WARNING, "2.9.1 there"),
        ({"version": (200, "<html>a proxy</html>")}, Mark.WARNING, "does not say"),
    ],
)
def test_each_refusal_says_what_to_do(changes, mark, words, tmp_path):
    assert words in only(said(tmp_path, **changes), mark).found


def test_a_server_that_refuses_its_name_is_told_with_the_option_that_allows_it(tmp_path):
    found = only(said(tmp_path, read=(403, "Invalid Host header - possible DNS rebinding")))
    assert "--allowed-hosts '127.0.0.1,127.0.0.1:*'" in found.remedy


def test_a_server_that_is_away_is_a_problem(tmp_path):
    [port] = free_ports()
    here = situation(tmp_path, tracking_uri=f"http://127.0.0.1:{port}")
    assert only(tracking.store(here)).found == "Connection refused"


def test_a_file_is_read_and_not_made(tmp_path):
    assert marks(tracking.store(situation(tmp_path))) == ["ok"]
    assert list(tmp_path.iterdir()) == []
    store = Tracking(default_tracking_uri(tmp_path))
    [found] = tracking.store(situation(tmp_path))
    assert found.found.startswith("0 runs, journal mode wal")
    assert store.client.search_experiments()
    (tmp_path / "mlflow.db").write_text("no database at all, just a text that is long enough")
    assert "cannot be read" in only(tracking.store(situation(tmp_path))).found


def test_a_file_is_for_one_machine(tmp_path, monkeypatch):
    assert "launcher slurm" in only(tracking.store(on_slurm(tmp_path)), Mark.WARNING).found
    (tmp_path / "mounts").write_text("server:/x / nfs4 rw 0 0\n")
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mounts")
    assert "nfs4" in only(tracking.store(situation(tmp_path))).found
