"""The tracking store: there, ours to read and write, of a version that fits."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ablations.doctor.findings import Finding, ok, problem, warning
from ablations.doctor.mounts import existing, mount_of
from ablations.doctor.situation import Situation
from ablations.tracking_store import SERVERS, sqlite_path

LINE_END = "\n"
PASSWORD = "Set MLFLOW_TRACKING_USERNAME and _PASSWORD (or _TOKEN), here and on the nodes."
SERVER = "--tracking-uri http://HOST:PORT of an MLflow server; `ablate sync` fills it at any time."


def store(situation: Situation) -> Iterator[Finding]:
    """The store that runs are sent to."""
    uri = situation.tracking_uri
    path = sqlite_path(uri)
    if path is not None:
        yield from _file(situation, path)
    elif uri.startswith(SERVERS):
        yield from server(uri)
    else:
        remedy = "MLflow knows more kinds; ours are a SQLite file and a server."
        yield warning(uri, "was not looked into", remedy)


def _file(situation: Situation, path: Path) -> Iterator[Finding]:
    mount = mount_of(existing(path.parent))
    if mount is not None and mount.is_network:
        found = f"on {mount.kind}: machines that write it together break it"
        yield problem(path.name, found, SERVER)
    elif situation.is_on_cluster:
        found = f"is for one machine, and launcher {situation.launcher} uses others"
        yield warning(path.name, found, SERVER)
    if not path.exists():
        yield ok(path.name, f"none yet; `ablate run` makes {path}")
        return
    try:
        start = time.monotonic()
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
            [[runs]] = reader.execute("SELECT count(*) FROM runs")
            [[journal]] = reader.execute("PRAGMA journal_mode")
        took_ms = (time.monotonic() - start) * 1000
    except sqlite3.Error as error:
        remedy = "Is it an MLflow store? Move it away, and `ablate sync STUDY` makes it again."
        yield problem(path.name, f"cannot be read: {error}", remedy)
        return
    found = f"{runs} runs, journal mode {journal}, read in {took_ms:.1f} ms"
    if journal == "wal":
        yield ok(path.name, found)
    else:
        yield warning(path.name, found, "Readers and writers wait; `ablate sync STUDY` sets WAL.")


def server(uri: str) -> Iterator[Finding]:
    """A server, and what it lets us do."""
    from ablations.tracking_probe import OWN_VERSION, ServerAway, ask_server

    try:
        told = ask_server(uri)
    except ServerAway as error:
        words = _cause(str(error))
        yield problem(
            uri, words, "Does the server run there? `mlflow server --host ... --port ...`"
        )
        return
    if told.read_status == 403 and "host" in told.read_text.lower():
        host = urlsplit(uri).hostname
        remedy = f"Start it with --allowed-hosts '{host},{host}:*' (and others that reach it)."
        yield problem(uri, "answers, and refuses this name of it (Invalid Host header)", remedy)
    elif told.read_status in (401, 403):
        yield problem(uri, f"answers, and refuses us ({told.read_status})", PASSWORD)
    elif told.read_status != 200:
        found = f"answers {told.read_status}: {told.read_text.partition(LINE_END)[0][:120]}"
        yield problem(uri, found, "Is it an MLflow server, and is its own database there?")
    else:
        yield ok(uri, f"answers in {told.took_ms:.0f} ms; reading is allowed{_as(told.user)}")
        yield _version(told.version, OWN_VERSION)
        yield _writing(told.write_status)


def _version(theirs: str | None, ours: str) -> Finding:
    if theirs is None:
        return warning("MLflow", f"{ours} here; the server does not say", "Is it MLflow's own?")
    found = f"{theirs} there, {ours} here"
    if theirs.split(".")[0] != ours.split(".")[0]:
        return warning("MLflow", found, "Use one major version on both sides.")
    return ok("MLflow", found)


def _writing(status: int) -> Finding:
    if status in (401, 403, 405):
        remedy = "Ask for the right to make experiments, and to write to them."
        return problem("writing", f"is refused ({status})", remedy)
    if status == 400:
        return ok("writing", "a new experiment would be taken")
    remedy = "See what `ablate sync` says of a small study."
    return warning("writing", f"the server answers {status}, which tells nothing", remedy)


def _as(user: str | None) -> str:
    return f", as {user}" if user else ""


def _cause(text: str) -> str:
    """The end of a long chain of reasons."""
    if "timed out" in text or "timeout" in text:
        return "does not answer in time"
    for words in ("Connection refused", "Name or service not known", "CERTIFICATE_VERIFY_FAILED"):
        if words in text:
            return words
    return text.splitlines()[0][-200:]
