from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from ablations.cli import main
from ablations.ledger_location import ledger_of, planner_ledger
from ablations.run_directory import StudyDirectory
from ablations.storages.patience import is_away, patiently
from tests.ablations_tests.cluster_study import trials_of
from tests.ablations_tests.tiny_studies import LONG, calling_at, keys_of, numbers_of, write_study
from tests.cluster.ports import free_ports
from tests.cluster.postgresql import PostgreSQL

AWAY_S = 2.0


class Proxy:
    """`ablate proxy` in front of a database, on a port of its own."""

    def __init__(self, database: PostgreSQL, home: Path) -> None:
        [self.port] = free_ports()
        self._command = [sys.executable, "-m", "ablations.cli", "proxy", "--home", str(home)]
        self._command += ["--storage", database.url_without_password, "--port", str(self.port)]
        self._environment = os.environ | {"PGPASSWORD": database.password}
        self.start()

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it says that it serves."""
        self.process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.words = self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def restart(self) -> None:
        """Kill it, and start it again in a while."""
        self.kill()
        threading.Timer(AWAY_S, self.start).start()


@pytest.fixture(scope="module")
def database(postgresql) -> PostgreSQL:
    pytest.importorskip("grpc", reason="needs grpcio (pip install 'ablations[cluster]')")
    return postgresql


@pytest.fixture(scope="module")
def started(database, tmp_path_factory):
    proxy = Proxy(database, tmp_path_factory.mktemp("proxy"))
    yield proxy
    proxy.kill()


@pytest.fixture
def proxy(started) -> Proxy:
    """One for all tests, started again where a test has stopped it."""
    if started.process.poll() is not None:
        started.start()
    return started


def test_it_binds_loopback_and_shows_no_password(proxy, database):
    assert proxy.words == f"serving {database.url_without_password} at {proxy.url}\n"
    socket.create_connection(("127.0.0.1", proxy.port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", proxy.port))


def test_a_study_trained_through_it_loses_nothing_when_it_is_killed(
    proxy, home, finished, in_this_process, capsys
):
    file = str(write_study(home, **{**LONG, "seeds": 1}))
    command = ["run", file, "--home", str(home), "--launcher", "debug", "--storage", proxy.url]
    with calling_at(100, proxy.restart):
        assert main(command) == 0
    assert "2/2 runs ended, 0 diverged, 0 failed" in capsys.readouterr().out
    directory = StudyDirectory(home, "tiny")
    ledger = ledger_of(directory)
    assert Counter(trial.state.name for trial in trials_of(ledger)) == {"COMPLETE": 2}
    for key in keys_of(directory.load_plan()):
        assert numbers_of(directory, key) == numbers_of(finished.directory, key)
    assert f'"url": "{proxy.url}"' in directory.ledger_file_path.read_text()


def test_a_queue_in_the_database_is_reached_through_it(proxy, database, home, monkeypatch, capsys):
    """As docs/cluster.md has it: queued on the database, trained through the proxy."""
    from studies.loading import load_study
    from studies.planning import make_plan

    monkeypatch.setenv("PGPASSWORD", database.password)
    file = write_study(home)
    directory, plan = StudyDirectory(home, "tiny"), make_plan(load_study(str(file)).study)
    directory.save_plan(plan, file.read_text())
    planner_ledger(directory, database.url_without_password).reconcile(keys_of(plan))
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("ABLATE_STORAGE", proxy.url)
    assert main(["status", "tiny", "--home", str(home)]) == 0
    assert "0/4 runs ended" in capsys.readouterr().out
    claim = ledger_of(directory).claim(keys_of(plan))
    assert claim is not None
    claim.release("seen")


def test_a_proxy_that_says_nothing_counts_as_away(proxy, home, monkeypatch):
    ledger = planner_ledger(StudyDirectory(home, "silent"), proxy.url)
    monkeypatch.setattr("ablations.storages.grpc_proxy.ANSWER_S", 0.5)
    proxy.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Exception, match="DEADLINE_EXCEEDED") as caught:
            ledger.storage.get_study_id_from_name(ledger.name)
        assert is_away(caught.value)
        threading.Timer(1.0, proxy.process.send_signal, [signal.SIGCONT]).start()
        assert patiently(ledger.storage.get_study_id_from_name, ledger.name) >= 0
    finally:
        proxy.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    "asked", ["sqlite", "journal", "journal:///shared/queue", "sqlite:////tmp/x.db", "grpc://h:1"]
)
def test_it_stands_in_front_of_a_database_alone(asked, capsys, monkeypatch):
    assert main(["proxy", "--storage", asked]) == 2
    told = capsys.readouterr().err
    assert f"a proxy stands in front of a PostgreSQL or MySQL database, not of '{asked}'" in told
    monkeypatch.setenv("ABLATE_STORAGE", asked)
    assert main(["proxy"]) == 2
    assert capsys.readouterr().err == told


def test_without_a_storage_it_says_what_to_give(capsys):
    assert main(["proxy"]) == 2
    assert "give --storage postgresql://USER@HOST/DATABASE, or set ABLATE_STORAGE" in (
        capsys.readouterr().err
    )


def test_a_password_on_its_command_line_is_refused(capsys):
    assert main(["proxy", "--storage", "postgresql://ablate:geheim@db/x"]) == 2
    told = capsys.readouterr().err
    assert "--storage has a password in it" in told
    assert "geheim" not in told


def test_a_port_that_is_taken_is_told(proxy, database, monkeypatch, in_this_process, capsys):
    monkeypatch.setenv("ABLATE_STORAGE", database.url)
    assert main(["proxy", "--port", str(proxy.port)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"ablate: cannot serve {database.url_without_password} at {proxy.url}: ")
    assert told.endswith("choose another --port or --host\n")
    assert database.password not in told


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_stops_it(proxy, name):
    proxy.process.send_signal(signal.Signals[name])
    proxy.process.communicate(timeout=60)
    assert proxy.process.returncode == 0
