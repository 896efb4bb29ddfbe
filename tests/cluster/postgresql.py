"""A throw-away PostgreSQL server that asks for a password, in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.cluster.ports import free_ports
from tests.cluster.service import Service
from tests.waiting import PATIENCE_S

USER, DATABASE = "ablate", "ablations"
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
fsync = off
"""
"""Without fsync a crash of the machine loses data; a commit still outlives an immediate stop."""


def missing() -> str | None:
    """Why there can be no server here; None if there can."""
    if _programs() is None:
        return "needs PostgreSQL (Debian: apt install postgresql)"
    if importlib.util.find_spec("psycopg2") is None:
        return "needs psycopg2 (pip install psycopg2-binary)"
    return None


def _programs() -> Path | None:
    """Folder of the server's programs: that of the one on PATH, else the newest of Debian's."""
    on_path = shutil.which("postgres")
    if on_path is not None:
        return Path(on_path).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(installed, key=lambda path: int(path.parts[4]), default=None)
    return newest and newest.parent


class PostgreSQL(Service):
    """A server on 127.0.0.1 whose address, password and data stay over stops and starts."""

    def __init__(self) -> None:
        programs = _programs()
        assert programs is not None, missing()
        self._programs = programs
        self._server: subprocess.Popen[bytes] | None = None
        self._account = _unprivileged() if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="ablate-postgresql-"))
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        [self.port] = free_ports()
        self.password = secrets.token_urlsafe(16)

    def bring_up(self) -> None:
        """Make its data, and start it."""
        self._initialise()
        self.start()
        self.create_database(DATABASE)

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    @property
    def url_without_password(self) -> str:
        return self.url.replace(f":{self.password}@", "@")

    def url_of(self, database: str) -> str:
        address = f"127.0.0.1:{self.port}"
        return f"postgresql+psycopg2://{USER}:{self.password}@{address}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database; return its URL."""
        access = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        environment = os.environ | {"PGPASSWORD": self.password}
        self._run("createdb", *access, name, env=environment)
        return self.url_of(name)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        assert self._server is None, "it is running"
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data"],
                stdout=log, stderr=log, start_new_session=True, **self._unprivileged(),
            )  # fmt: skip
        is_ready = f"{self._programs}/pg_isready"
        address = ["-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + PATIENCE_S
        while subprocess.run([is_ready, "-q", *address], check=False).returncode != 0:
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.02)

    def stop(self, *, immediate: bool = True) -> None:
        """Stop the server: at once, as in a crash, or after a checkpoint. Connections break."""
        assert self._server is not None, "it is not running"
        self._server.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        self._server.wait(PATIENCE_S)
        self._server = None

    def remove(self) -> None:
        """Stop the server if it runs, and delete its data."""
        if self._server is not None:
            self.stop()
        shutil.rmtree(self.folder)

    def _initialise(self) -> None:
        data, password = self.folder / "data", self.folder / "password"
        password.write_text(self.password)
        access = [f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={password}"]
        self._run("initdb", "--no-sync", "--no-instructions", *access, f"--pgdata={data}")
        password.unlink()
        with (data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(port=self.port, folder=self.folder))

    def _run(self, program: str, *arguments: str, **options: Any) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True, text=True, check=False, **options, **self._unprivileged(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _unprivileged(self) -> dict[str, Any]:
        """Options of `subprocess`: the server refuses to run as root."""
        options: dict[str, Any] = {"cwd": self.folder}
        if self._account is not None:
            options |= {"user": self._account.pw_uid, "group": self._account.pw_gid}
            options |= {"extra_groups": []}
        return options


def _unprivileged() -> pwd.struct_passwd:
    """The account of the distribution's server where there is one."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
