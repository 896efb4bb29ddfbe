"""A throw-away MariaDB server, which speaks the protocol of MySQL, in a folder of its own."""

from __future__ import annotations

import getpass
import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.cluster.ports import free_ports
from tests.cluster.service import Service
from tests.waiting import PATIENCE_S

USER = "ablate"
SERVER, INSTALLER, CLIENT = "mariadbd", "mariadb-install-db", "mariadb"
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin"


def missing() -> str | None:
    """Why there can be no server here; None if there can."""
    if not all(shutil.which(name, path=SEARCHED) for name in (SERVER, INSTALLER, CLIENT)):
        return "needs MariaDB (Debian: apt install mariadb-server)"
    if importlib.util.find_spec("pymysql") is None:
        return "needs pymysql (pip install pymysql)"
    return None


class MariaDB(Service):
    """A server on 127.0.0.1 with a user who needs a password."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ablate-mariadb-"))
        [self._port] = free_ports()
        self._password = secrets.token_urlsafe(16)
        self._server: subprocess.Popen[bytes] | None = None

    def bring_up(self) -> None:
        """Make its data, and start it."""
        as_us = f"--user={getpass.getuser()}"
        data = f"--datadir={self.folder}/data"
        self._run(INSTALLER, as_us, data, "--auth-root-authentication-method=normal")
        program = shutil.which(SERVER, path=SEARCHED)
        assert program is not None, missing()
        where = [f"--socket={self._socket}", f"--port={self._port}", "--bind-address=127.0.0.1"]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [program, "--no-defaults", as_us, data, *where],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while not self._socket.exists():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.05)
        user = f"{USER}@127.0.0.1"
        self._execute(f"CREATE USER {user} IDENTIFIED BY '{self._password}'")
        self._execute(f"GRANT ALL ON *.* TO {user}")

    def create_database(self, name: str) -> str:
        """Create an empty database; return its URL."""
        self._execute(f"CREATE DATABASE {name}")
        return f"mysql://{USER}:{self._password}@127.0.0.1:{self._port}/{name}"

    def remove(self) -> None:
        """Stop the server if it runs, and delete its data."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(PATIENCE_S)
        shutil.rmtree(self.folder)

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def _execute(self, statement: str) -> None:
        self._run(CLIENT, f"--socket={self._socket}", "--user=root", f"--execute={statement}")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [program, "--no-defaults", *arguments],
            capture_output=True, text=True, check=False, env=os.environ | {"PATH": SEARCHED},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
